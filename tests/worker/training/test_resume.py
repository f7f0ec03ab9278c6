"""Training resumed from a checkpoint: it ends the same, bit for bit."""

import pytest

from normlab.spec.experiment import ExperimentSpec
from tests.factories import MIXED
from tests.worker.training.trainings import CPU, SMALL, VARIANTS, trained
from worker.training.checkpoints import pack, unpack
from worker.training.training import Training


class Interrupted(Exception):
    """The training is interrupted."""


def without_times(metrics):
    return metrics.train_loss, metrics.train_accuracy, metrics.test_loss, metrics.test_accuracy


def captured_in(records):
    return [
        (capture.step, key, histogram.to_bytes(), histogram.zeros)
        for record in records
        for capture in record.captures
        for key, histogram in capture.histograms.items()
    ]


class TestResume:
    @pytest.mark.parametrize("protocol", ["standard", "original"])
    @pytest.mark.parametrize("normalization", VARIANTS)
    def test_resumed_training_ends_bit_identically(self, data, normalization, protocol):
        """A training resumed after an epoch ends with the same checkpoint, losses and histograms."""
        fields = {"normalization": normalization, "protocol": protocol}
        _, undisturbed = trained(data, **fields)

        resumed = Training(ExperimentSpec(**(SMALL | fields)), data, CPU)
        resumed.resume(unpack(undisturbed[0].checkpoint.content, undisturbed[0].checkpoint.sha256))
        records = [resumed.run_epoch(lambda step, loss: None) for _ in range(2)]

        assert records[-1].checkpoint == undisturbed[-1].checkpoint
        assert records[-1].metrics.test_loss == undisturbed[-1].metrics.test_loss
        ours, theirs = (each[-1].captures[0].histograms for each in (records, undisturbed))
        assert ours.keys() == theirs.keys()
        for key, histogram in ours.items():
            assert histogram.to_bytes() == theirs[key].to_bytes()
            assert (histogram.zeros, histogram.mean) == (theirs[key].zeros, theirs[key].mean)
            assert histogram.squared_deviations == theirs[key].squared_deviations

    def test_wrong_checkpoint_is_refused(self, data):
        """A checkpoint with other bytes than its hash, or of another network, raises ValueError."""
        training, records = trained(data, epochs=1)
        kept = records[0].checkpoint
        with pytest.raises(ValueError, match="hash"):
            unpack(kept.content[:-1] + bytes([kept.content[-1] ^ 1]), kept.sha256)
        other = Training(ExperimentSpec(**SMALL, normalization="batch"), data, CPU)
        with pytest.raises(ValueError, match="another network"):
            other.resume(unpack(kept.content, kept.sha256))
        assert pack(training.state()) == kept

    @pytest.mark.parametrize("protocol", ["standard", "original"])
    @pytest.mark.parametrize("network", [None, MIXED], ids=["study", "mixed"])
    def test_interrupted_training_ends_bit_identically(self, data, protocol, network):
        """Interrupted after any step and resumed, a training ends with the same metrics, captures and checkpoint."""
        fields = {"protocol": protocol, "epochs": 2, "batch_size": 30}
        fields |= {"normalization": "batch"} if network is None else {"network": network}
        fields |= {} if protocol == "original" else {"capture_unit": "step", "capture_every": 1}
        whole, undisturbed = trained(data, **fields)

        def stop_after(last):
            def after_step(step, loss):
                if step == last:
                    raise Interrupted

            return after_step

        for last in range(1, 2 * whole.steps_per_epoch + 1):
            interrupted, records = Training(whole.spec, data, CPU), []
            with pytest.raises(Interrupted):
                while True:
                    records.append(interrupted.run_epoch(stop_after(last)))
            part = interrupted.unrecorded()
            assert part.metrics is None
            assert part.checkpoint.step == last
            assert interrupted.unrecorded() is None

            resumed = Training(whole.spec, data, CPU)
            resumed.resume(unpack(part.checkpoint.content, part.checkpoint.sha256))
            records.append(part)
            while resumed.epochs_done < whole.spec.epochs:
                records.append(resumed.run_epoch(lambda step, loss: None))
            assert records[-1].checkpoint == undisturbed[-1].checkpoint
            untimed = [without_times(r.metrics) for r in records if r.metrics]
            assert untimed == [without_times(r.metrics) for r in undisturbed]
            assert captured_in(records) == captured_in(undisturbed)

    def test_state_that_is_not_finite_is_not_recorded(self, data):
        """A state with a NaN or an infinity gives no record to resume from."""
        wild = {"normalization": "box_cox", "box_cox_lambda": 9.0, "init_std": 10.0, "learning_rate": 10.0}
        training = Training(ExperimentSpec(**(SMALL | wild)), data, CPU)

        def stop(step, loss):
            if step == training.steps_per_epoch - 1:
                raise Interrupted

        with pytest.raises(Interrupted):
            training.run_epoch(stop)
        assert training.steps_done > 0
        assert training.unrecorded() is None
