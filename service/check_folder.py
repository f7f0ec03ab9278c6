"""What the service itself can see of a folder of images, so that a spec that cannot train is refused at once."""

from fastapi.exceptions import RequestValidationError

from normlab.image_folder import TooManyFiles, faults_message, is_folder, list_folder
from normlab.spec.experiment import ExperimentSpec
from service.http.validation_messages import own_error
from service.settings import ServiceSettings

MAX_ENTRIES = 200_000  # files and folders; listing so many takes about a second. The worker lists more.


def check_folder(spec: ExperimentSpec, settings: ServiceSettings) -> ExperimentSpec:
    """Return the spec with the number of its folder's classes, or as it is if the service cannot see the folder.

    Names are listed, no image is opened. Without a local worker, the images may be on another machine, so an absent
    folder is accepted.

    Raises: RequestValidationError with everything that the names show to be wrong.
    """
    if spec.folder is None or not is_folder(settings.data_dir):
        return spec
    if not settings.local_worker and not is_folder(settings.data_dir / spec.folder):
        return spec
    try:
        listing = list_folder(
            settings.data_dir, spec.folder, test_fraction=spec.test_fraction, train_size=spec.train_size,
            test_size=spec.test_size, max_entries=MAX_ENTRIES,
        )  # fmt: skip
    except TooManyFiles:
        return spec
    except ValueError as error:
        raise _refusal("folder", str(error), spec.folder) from None
    if any(not (fault.can_skip and spec.skip_damaged) for fault in listing.faults):
        raise _refusal("folder", faults_message(spec.folder, listing.faults), spec.folder)
    return _with_classes(spec, len(listing.classes))


def _with_classes(spec: ExperimentSpec, classes: int) -> ExperimentSpec:
    resolved = spec.with_classes(classes)
    try:
        logits = resolved.layer_shapes()[-1].output_shape[0]
    except ValueError as error:
        raise _refusal("network", f"with the folder's {classes} classes: {error}", spec.network) from None
    if logits != classes:
        raise _refusal(
            "network",
            f"the network ends in {logits} logits, the folder has {classes} classes; let the last layer output "
            "`classes`",
            logits,
        )
    return resolved


def _refusal(field: str, message: str, got: object) -> RequestValidationError:
    return RequestValidationError([own_error(field, message, got)])
