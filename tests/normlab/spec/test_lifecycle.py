"""The life of an experiment: its enumerations and their sentences."""

import pytest

from normlab.spec.lifecycle import ENDED, AttemptOutcome, Phase, RequestedAction, Status, StopReason


class TestDescription:
    @pytest.mark.parametrize("enumeration", [Status, Phase, RequestedAction, StopReason, AttemptOutcome])
    def test_every_value_has_a_sentence(self, enumeration):
        """Each value of an enumeration is described in whole sentences."""
        assert [member for member in enumeration if not member.description.endswith(".")] == []


class TestStatus:
    def test_experiment_has_ended_in_three_states(self):
        """An experiment that succeeded, failed or was cancelled has ended; no other has."""
        assert {status for status in Status if status.has_ended} == set(ENDED)
        assert {status.value for status in ENDED} == {"succeeded", "failed", "cancelled"}
