"""`python -m tests.torture.fuzz`: requests that are made up and hostile ones made by hand, at a real service process.

Schemathesis makes them up from the OpenAPI document: its examples, its coverage of every bound, drawn ones that are as
written and that are not, and sequences that follow what was answered; each answer goes through all of its checks. It is
slow at that, so two processes have a service and a database each: one would delete what the other is about to ask for.
"""

import argparse
import multiprocessing
import re
import socket
import time
from collections import Counter
from concurrent.futures import ProcessPoolExecutor
from contextlib import closing, suppress
from dataclasses import dataclass, field

import schemathesis
from schemathesis.config import SchemathesisConfig
from schemathesis.engine import events, from_schema
from schemathesis.openapi.checks import RejectedPositiveData

from normlab.spec.quantities import QUANTITIES
from normlab.store import claims, records
from tests.factories import record_of
from tests.torture import hostile
from tests.torture.services import Service
from tests.torture.workers import database_of, enqueue

CASES = 20_000
SHARES = 2
MAX_STEPS = 25  # of a sequence
MOST_GROWTH_BYTES = 50_000_000  # of the service's memory, since everything by hand was asked once
IDLE_CONNECTIONS = 200
AGAIN = 4  # one in so many of the hostile requests is made again at the end, for those leave garbage too
PATIENCE_SECONDS = 0.3  # for an answer to what may be owed none, such as half a request
LONGEST_SECONDS = 15.0  # that the service may take to say that it lives, or to draw
BEYOND_A_SCHEMA = {  # what a request as written may be refused for, since no JSON schema can say it
    "network": "layers fit each other, the images and the classes",
    "folder": "with the data set `folder`, and only with it; below the data directory",
    "train_size": "no more than the data set has",
    "test_size": "no more than the data set has",
    "warmup_epochs": "fewer than the epochs",
    "capture_unit": "epochs, if the capture is after the updates",
}
_WHOLE = re.compile(r"-?\d+\.0(e\+\d+)?|-?\d+(\.\d+)?e\+\d+")  # a float that JSON schema takes for an integer
_STATUS = re.compile(rb"HTTP/1\.[01] (\d{3})")


@dataclass
class Tally:
    """What was asked and what came of it."""

    kinds: Counter = field(default_factory=Counter)  # of schemathesis' cases: by phase and by mode
    cases: int = 0
    refused: int = 0  # as written, by a rule that cannot be
    hostile: int = 0
    idle: int = 0
    fives: int = 0
    dead: int = 0
    lost: int = 0
    grown: int = 0  # bytes, of the service that grew most
    wrong: dict = field(default_factory=dict)  # by check and operation: the shortest that shows it

    def add(self, other):
        """What another has tallied."""
        self.kinds.update(other.kinds)
        self.wrong.update(other.wrong)
        self.grown = max(self.grown, other.grown)
        for count in ("cases", "refused", "hostile", "idle", "fives", "dead", "lost"):
            setattr(self, count, getattr(self, count) + getattr(other, count))


def main() -> None:
    """Ask, say what came of it in one line, and exit with 1 if anything is wrong."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--cases", type=int, default=CASES)
    parser.add_argument("--seed", type=int, default=1)
    arguments = parser.parse_args()
    raise SystemExit(fuzz(arguments.cases, arguments.seed) > 0)


def fuzz(cases: int, seed: int) -> int:
    """How much was wrong: failed checks, answers of 5xx, times of no life, lost services, too much memory."""
    began, tally = time.monotonic(), Tally()
    with ProcessPoolExecutor(SHARES, mp_context=multiprocessing.get_context("spawn")) as pool:
        for share in [pool.submit(_share, -(-cases // SHARES), seed, number) for number in range(SHARES)]:
            tally.add(share.result())
    for (check, operation), (message, shown) in tally.wrong.items():
        print(f"{check} of {operation}: {message}\n    {shown}")
    kinds = ", ".join(f"{count} {kind}" for kind, count in sorted(tally.kinds.items()))
    print(
        f"fuzz: {tally.cases} cases of schemathesis ({kinds}), {tally.refused} refused by rules beyond a schema; "
        f"{tally.hostile} hostile requests, {tally.idle} idle connections: {len(tally.wrong)} kinds of failure, "
        f"{tally.fives} answers of 5xx, {tally.dead} times no life, {tally.lost} processes lost, memory grew by "
        f"{tally.grown / 1e6:.0f} MB, {time.monotonic() - began:.0f} s",
        flush=True,
    )
    limits = (tally.grown > MOST_GROWTH_BYTES) + (tally.cases < cases)
    return len(tally.wrong) + tally.fives + tally.dead + tally.lost + limits


def _share(cases, seed, number):
    """What came of one process's share, at a service of its own."""
    tally, mine = Tally(), list(hostile.requests())[number::SHARES]
    with database_of("sqlite") as database:
        for name in hostile.names():
            _recorded(database, name)
        service = Service(database.url)
        try:
            _ask_by_hand(service, tally, mine)
            _stay_idle(service, tally)
            before = service.resident_bytes()  # imports, fonts, caches and threads are there from here on
            _make_up(service.port, tally, cases=cases, seed=1000 * seed + 100 * number)
            _ask_by_hand(service, tally, mine[::AGAIN])
            tally.lost = int(not service.is_alive())
            tally.grown = 0 if tally.lost else service.resident_bytes() - before
        finally:
            service.kill()
    return tally


def _recorded(database, name):
    """An experiment of two epochs."""
    enqueue(database, 0, name=name)
    with database.writing.begin() as session:
        held = claims.claim(session, worker="w", lease_seconds=30)
        for epoch in range(2):
            records.record(session, held, record_of(epoch, quantities=QUANTITIES))


def _make_up(port, tally, *, cases, seed):
    """At least so many; only when a round is over is it known how many it had."""
    while (left := cases - tally.cases) > 0:
        _one_round(port, tally, examples=max(1, min(300, left // 25)), seed=seed)
        seed += 1
        if tally.cases == cases - left:  # nobody answers
            break


def _one_round(port, tally, *, examples, seed):
    config = SchemathesisConfig.from_dict(
        {
            "seed": seed, "workers": 1, "continue-on-failure": True, "request-timeout": LONGEST_SECONDS,
            "cache": {"enabled": False},  # what an earlier run found may not change this one
            "generation": {"mode": "all", "max-examples": examples, "no-shrink": True, "database": "none"},
            "phases": {
                "coverage": {"enabled": tally.cases == 0},  # the same in each round
                "stateful": {"max-steps": MAX_STEPS},
            },
            "output": {"sanitization": {"enabled": False}},
        }
    )  # fmt: skip
    schema = schemathesis.openapi.from_url(f"http://127.0.0.1:{port}/openapi.json", config=config)
    schema.hook("filter_failure")(_is_no_rule_beyond_a_schema)
    for event in from_schema(schema).execute():
        match event:
            case events.ScenarioFinished():
                _count(event, tally)
            case events.NonFatalError() | events.FatalError():
                error = event.value if isinstance(event, events.NonFatalError) else event.exception
                tally.wrong.setdefault((type(error).__name__, getattr(event, "label", "all")), (str(error), ""))


def _count(event, tally):
    recorder = event.recorder
    for case_id, interaction in recorder.interactions.items():
        tally.cases += 1
        tally.kinds[event.phase.value] += 1
        meta = recorder.cases[case_id].value.meta
        tally.kinds[meta.generation.mode.value if meta else "a check's own"] += 1
        if interaction.response is not None and interaction.response.status_code >= 500:
            tally.fives += 1
    tally.refused += sum(recorder.filtered_failures.values())
    for checks in recorder.checks.values():
        for check in checks:
            if check.failure_info is not None:
                key, shown = (check.name, check.failure_info.failure.operation), check.failure_info.code_sample
                if key not in tally.wrong or len(shown) < len(tally.wrong[key][1]):
                    tally.wrong[key] = " ".join(check.failure_info.failure.message.split()), shown


def _is_no_rule_beyond_a_schema(context, failure, case, response):
    """Whether a failed check stays one: valid data may be refused for nothing but what a schema cannot say."""
    if not isinstance(failure, RejectedPositiveData) or response.status_code != 422:
        return True
    refusal = response.json()
    if refusal["detail"].startswith(("the idempotency key", "network: ")):
        return False
    found = refusal.get("errors", [])
    return not found or not all(
        error["field"] in BEYOND_A_SCHEMA
        or (error["expected"] == "Input should be a valid integer" and _WHOLE.fullmatch(error["got"]))
        for error in found
    )


def _ask_by_hand(service, tally, requests):
    for name, pieces, owed in requests:
        answer = _answer(service.port, pieces, LONGEST_SECONDS if owed else PATIENCE_SECONDS)
        statuses = _STATUS.findall(answer)
        fives = [status for status in statuses if status >= b"500"]
        tally.hostile += 1
        tally.fives += len(fives)
        if owed and not statuses:
            tally.wrong[name, "by hand"] = "no answer", repr(b"".join(pieces)[:300])
        if fives:
            tally.wrong[name, "by hand"] = fives[0].decode(), repr(b"".join(pieces)[:300])
        _look_for_life(service, tally, after=name)


def _stay_idle(service, tally):
    """Some that never ask, some that never end their question."""
    tally.idle += IDLE_CONNECTIONS
    idle = [socket.create_connection(("127.0.0.1", service.port)) for _ in range(IDLE_CONNECTIONS)]
    for place, connection in enumerate(idle):
        connection.sendall(hostile.request()[: place % 40])
    _look_for_life(service, tally, after="idle connections")
    for connection in idle:
        connection.close()


def _look_for_life(service, tally, *, after):
    if not _answer(service.port, [hostile.request("GET", "/livez")]).startswith(b"HTTP/1.1 200"):
        tally.dead += 1
        tally.wrong["no life", "by hand"] = f"after {after}", ""


def _answer(port, pieces, patience=LONGEST_SECONDS):
    """All that comes until it is whole and nothing more does, however often it is interrupted."""
    answer = b""
    with suppress(OSError), closing(socket.create_connection(("127.0.0.1", port), LONGEST_SECONDS)) as connection:
        with suppress(OSError):  # it may be refused, and hung up on, before it is sent
            for place, piece in enumerate(pieces):
                time.sleep(0.002 if place else 0)
                connection.sendall(piece)
        connection.settimeout(patience)
        while not _is_whole(answer, pieces[0]) and (more := connection.recv(65536)):
            answer += more
            connection.settimeout(LONGEST_SECONDS)
        connection.settimeout(0.001)
        while more := connection.recv(65536):
            answer += more
    return answer


def _is_whole(answer, asked):
    head, ended, body = answer.partition(b"\r\n\r\n")
    length = re.search(rb"content-length: (\d+)", head, re.IGNORECASE)
    return bool(ended) and (length is None or asked.startswith(b"HEAD") or len(body) >= int(length[1]))


if __name__ == "__main__":
    main()
