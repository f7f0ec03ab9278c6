"""What the service refuses of a folder of images at POST, and what it leaves to the worker."""

import pytest

from normlab.store import claims
from tests.experiments import claimed, do
from tests.service.clients import client_of, problem

PHOTOS = {"dataset": "folder", "folder": "photos"}
ENDING_IN_TEN = [{"kind": "convolution", "channels": 10}, {"kind": "global_average_pool"}]
IN_GROUPS = [{"kind": "convolution", "channels": "classes", "groups": 3}, {"kind": "global_average_pool"}]


@pytest.fixture
def data_dir(tmp_path):
    """A data directory with two classes of two training images and one test image each. The files are empty."""
    for name in ("train/cat/1", "train/cat/2", "train/dog/1", "train/dog/2", "test/cat/1", "test/dog/1"):
        path = tmp_path / "data/photos" / f"{name}.jpg"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    return tmp_path / "data"


@pytest.fixture
def post(sqlite, data_dir):
    """Posts a spec to a service with this data directory, and returns the response."""
    with client_of(sqlite.url, data_dir=data_dir) as client:

        def post(fields):
            return client.post("/experiments", json=PHOTOS | fields)

        post.client = client
        yield post


class TestAccepted:
    def test_network_is_symbolic_until_a_worker_reads_the_images(self, post):
        """A folder in order is queued in one line; its network's width and its parameters are not known yet."""
        response = post({})
        assert response.status_code == 201
        experiment = response.json()
        assert experiment["spec"]["network"][-3]["channels"] == "classes"
        assert experiment["network"][-1]["output_shape"] == ["classes"]
        assert (experiment["parameters"], experiment["provenance"]) == (None, None)

    def test_network_has_its_width_once_a_worker_has_read_the_images(self, sqlite, post):
        """The answer of an experiment whose images were read has numbers in the spec and in the shapes."""
        post({})
        data = {
            "classes": 2, "train": 4, "test": 2, "by_class": [], "sha256": "0" * 64, "image_size": 96, "resize": "",
            "crop": None, "folder": None,
        }  # fmt: skip
        provenance = {"versions": {}, "data": data}
        do(sqlite, claims.start_attempt, claimed(sqlite), provenance=provenance, steps_total=1, resumed_at_step=None)
        experiment = post.client.get("/experiments/1").json()
        assert experiment["spec"]["network"][-3]["channels"] == 2
        assert experiment["network"][-1]["output_shape"] == [2]
        assert experiment["parameters"] == 16 * 9 * (3 + 4 * 16 + 2)
        assert experiment["provenance"]["data"] == data

    def test_repeated_request_is_not_checked_again(self, post, data_dir):
        """A request with an idempotency key has its first answer, even if the folder was removed since."""
        key = {"idempotency-key": "once"}
        first = post.client.post("/experiments", json=PHOTOS, headers=key)
        (data_dir / "photos").rename(data_dir / "other")
        again = post.client.post("/experiments", json=PHOTOS, headers=key)
        assert (again.status_code, again.json()) == (201, first.json())
        problem(post({}), 422)

    def test_damaged_files_are_left_to_the_worker(self, post, data_dir):
        """The service opens no image."""
        (data_dir / "photos/train/cat/1.jpg").write_bytes(b"not an image")
        assert post({}).status_code == 201

    @pytest.mark.parametrize("settings", [{"data_dir": "absent"}, {"local_worker": False, "data_dir": "other"}])
    def test_folder_that_may_be_on_another_machine(self, sqlite, tmp_path, settings):
        """A service without the data directory, or without a local worker and the folder, leaves it to the worker."""
        (tmp_path / "other").mkdir()
        with client_of(sqlite.url, **settings | {"data_dir": tmp_path / settings["data_dir"]}) as client:
            assert client.post("/experiments", json=PHOTOS).status_code == 201


class TestRefused:
    def test_absent_folder(self, post, data_dir):
        """A folder that the local worker cannot have is refused, without the server's own paths."""
        detail = problem(post({"folder": "photo"}), 422)["detail"]
        assert "folder: the folder photo has 1 fault: photo is not a folder in the data directory" in detail
        assert str(data_dir) not in detail

    def test_everything_that_names_show(self, post, data_dir):
        """All faults of names are in one message."""
        (data_dir / "photos/train/emu").mkdir()
        (data_dir / "photos/train/cat/3.heic").touch()
        (data_dir / "photos/test/dog/loop").symlink_to("..")
        detail = problem(post({"train_size": 9}), 422)["detail"]
        for part in (
            "has 5 faults",
            "photos/train/emu has no image",
            "only train has emu",
            "photos/train/cat/3.heic is a .heic file, a type that cannot be read",
            "photos/test/dog/loop is the same folder as photos/test",
            "has 4 train images, fewer than train_size, which is 9",
        ):
            assert part in detail

    def test_unreadable_types_unless_they_are_skipped(self, post, data_dir):
        """With skip_damaged, types that cannot be read are left to the worker, which counts them."""
        (data_dir / "photos/train/cat/3.heic").touch()
        problem(post({}), 422)
        assert post({"skip_damaged": True}).status_code == 201

    @pytest.mark.parametrize(
        ("network", "message"),
        [
            (
                ENDING_IN_TEN,
                "the network ends in 10 logits, the folder has 2 classes; let the last layer output `classes`",
            ),
            (IN_GROUPS, "with the folder's 2 classes: network[0]: groups=3 must divide"),
        ],
    )
    def test_network_that_does_not_fit_the_classes(self, post, network, message):
        """A network of another number of logits than the folder has classes is refused."""
        assert message in problem(post({"network": network}), 422)["detail"]

    def test_size_with_the_folders_classes(self, sqlite, data_dir):
        """The estimated size counts the last layer with the number of classes that the service sees."""
        network = [{"kind": "linear", "features": "classes"}]
        with client_of(sqlite.url, data_dir=data_dir, max_checkpoint_bytes=600_000) as client:
            response = client.post("/experiments", json=PHOTOS | {"network": network})
        assert "bytes of a checkpoint: expected at most 600,000; got about 663,576" in problem(response, 422)["detail"]
