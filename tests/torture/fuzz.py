"""`python -m tests.torture.fuzz`: send generated and hostile requests to a real service process.

Schemathesis generates requests from the OpenAPI document: its examples, the bounds of every parameter, random valid and
invalid ones, and sequences that use earlier answers. All its checks are applied to each answer. This is slow, so two
processes do it. Each has its own service and database, because one would delete what the other is about to request.
"""

import multiprocessing
import re
import socket
import time
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import closing, suppress
from functools import partial

import schemathesis
from schemathesis.config import SchemathesisConfig
from schemathesis.engine import events, from_schema
from schemathesis.openapi.checks import RejectedPositiveData

from normlab.process.command_line import CommandParser
from normlab.process.progress import ProgressLines
from normlab.spec.quantities import QUANTITIES
from normlab.store import records
from tests.experiments import claimed
from tests.factories import record_of
from tests.service.plots.names import NAMES
from tests.torture import hostile, names_in_figures, unknown_parameters
from tests.torture.fuzz_tally import Tally
from tests.torture.services import Service
from tests.torture.workers import database_of, enqueue_variant

CASES = 20_000
SHARES = 2
MAX_STEPS = 25  # of a sequence
MAX_GROWTH_BYTES = 50_000_000  # of the service's memory, after all hostile requests were sent once
IDLE_CONNECTIONS = 200
REPEATED = 4  # one in four hostile requests is sent again in the end, because they may leak memory too
SHORT_TIMEOUT_SECONDS = 0.3  # for requests that need no answer, such as half a request
TIMEOUT_SECONDS = 15.0  # for a health check or a figure
BEYOND_A_SCHEMA = {  # rules that no JSON schema can express, so that a request that is valid by the schema is refused
    "network": "layers fit each other, the images and the classes",
    "folder": "with the data set `folder`, and only with it; below the data directory",
    "test_fraction": "only with the data set `folder`",
    "skip_damaged": "only with the data set `folder`",
    "background": "only with the data set `folder`",
    "train_size": "no more than the data set has",
    "test_size": "no more than the data set has",
    "warmup_epochs": "fewer than the epochs",
    "capture_unit": "epochs, if the capture is after the updates; no more steps than the training has",
    "epochs": "no more training steps than the database can count",
    **dict.fromkeys(("low", "low and high"), "bins between them"),
    "cursor": "of a page in the requested order",
    **dict.fromkeys(("epoch", "axis", "scale", "bins"), "not where the parameter has no effect"),
}
_STATUS = re.compile(rb"HTTP/1\.[01] (\d{3})")


def main() -> None:
    """Send all requests, print the result in one line, and exit with 1 if anything is wrong."""
    parser = CommandParser(description=__doc__)
    parser.add_argument("--cases", type=int, default=CASES)
    parser.add_argument("--seed", type=int, default=1)
    arguments = parser.parse_args()
    raise SystemExit(fuzz(arguments.cases, arguments.seed, NAMES) > 0)


def fuzz(cases: int, seed: int, names: Sequence[str]) -> int:
    """Return how much was wrong: failed checks, answers of 5xx, failed health checks, ended services, memory.

    names: those that an experiment gets in turn, while every figure of it must show all their words.
    """
    began, tally = time.monotonic(), Tally()
    with ProcessPoolExecutor(SHARES, mp_context=multiprocessing.get_context("spawn")) as pool:
        shares = [
            pool.submit(_share, -(-cases // SHARES), seed, number, names[number::SHARES]) for number in range(SHARES)
        ]
        for share in shares:
            tally.add(share.result())
    for (check, operation), (message, shown) in tally.wrong.items():
        print(f"{check} of {operation}: {message}\n    {shown}")
    kinds = ", ".join(f"{count} {kind}" for kind, count in sorted(tally.kinds.items()))
    print(
        f"fuzz: {tally.cases} cases of schemathesis ({kinds}), {tally.refused} refused by rules beyond a schema; "
        f"{tally.hostile} hostile requests, {tally.idle} idle connections, {len(names)} names in every figure: "
        f"{len(tally.wrong)} kinds of failure, "
        f"{tally.fives} answers of 5xx, {tally.dead} failed health checks, {tally.lost} processes lost, memory grew by "
        f"{tally.grown / 1e6:.0f} MB, {time.monotonic() - began:.0f} s",
        flush=True,
    )
    limits = (tally.grown > MAX_GROWTH_BYTES) + (tally.cases < cases)
    return len(tally.wrong) + tally.fives + tally.dead + tally.lost + limits


def _share(cases, seed, number, names):
    """Send the share of one process to its own service, and return its tally."""
    tally, share = Tally(), list(hostile.requests())[number::SHARES]
    name = f"fuzz, share {number + 1} of {SHARES}"
    with ProgressLines(name, cases, "cases") as progress, database_of("sqlite") as database:
        for name in hostile.names():
            _record_experiment(database, name)
        service = Service(database.url)
        try:
            progress.doing = f"{len(share)} hostile requests"
            _send_hostile(service, tally, share)
            tally.wrong.update(unknown_parameters.accepted(partial(_answer, service.port)))
            progress.doing = f"every figure with {len(names)} names"
            tally.wrong.update(names_in_figures.lost(partial(_answer, service.port), names))
            progress.doing = "schemathesis"
            _stay_idle(service, tally)
            before = service.resident_bytes()  # with imports, fonts, caches and threads
            _generate(service.port, tally, progress, cases=cases, seed=1000 * seed + 100 * number)
            _send_hostile(service, tally, share[::REPEATED])
            tally.lost = int(not service.is_alive())
            tally.grown = 0 if tally.lost else service.resident_bytes() - before
        finally:
            service.kill()
    return tally


def _record_experiment(database, name):
    """Write an experiment that has every figure, and two epochs."""
    normalized = {"normalization": "batch", "capture_quantities": list(QUANTITIES)}
    enqueue_variant(database, 0, name=name, **normalized)
    claim = claimed(database)
    with database.writing.begin() as session:
        for epoch in range(2):
            records.record(session, claim, record_of(epoch, quantities=QUANTITIES))


def _generate(port, tally, progress, *, cases, seed):
    """Run rounds until there are enough cases. How many a round has is known only after it."""
    while (left := cases - tally.cases) > 0:
        _one_round(port, tally, progress, examples=max(1, min(300, left // 25)), seed=seed)
        seed += 1
        if tally.cases == cases - left:  # the service does not answer
            break


def _one_round(port, tally, progress, *, examples, seed):
    config = SchemathesisConfig.from_dict(
        {
            "seed": seed, "workers": 1, "continue-on-failure": True, "request-timeout": TIMEOUT_SECONDS,
            "cache": {"enabled": False},  # so that earlier runs do not change this one
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
                progress.done = tally.cases
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
    """Return whether a failed check counts. Valid data may be refused only by rules that a schema cannot express."""
    if not isinstance(failure, RejectedPositiveData) or response.status_code != 422:
        return True
    refusal = response.json()
    if refusal["detail"].startswith("the idempotency key"):
        return False
    errors = refusal.get("errors", [])
    return not errors or not all(error["field"].partition("[")[0] in BEYOND_A_SCHEMA for error in errors)


def _send_hostile(service, tally, requests):
    for name, pieces, needs_answer in requests:
        answer = _answer(service.port, pieces, TIMEOUT_SECONDS if needs_answer else SHORT_TIMEOUT_SECONDS)
        statuses = _STATUS.findall(answer)
        fives = [status for status in statuses if status >= b"500"]
        tally.hostile += 1
        tally.fives += len(fives)
        if needs_answer and not statuses:
            tally.wrong[name, "by hand"] = "no answer", repr(b"".join(pieces)[:300])
        if fives:
            tally.wrong[name, "by hand"] = fives[0].decode(), repr(b"".join(pieces)[:300])
        _check_health(service, tally, after=name)


def _stay_idle(service, tally):
    """Open connections that send nothing, or the beginning of a request."""
    tally.idle += IDLE_CONNECTIONS
    idle = [socket.create_connection(("127.0.0.1", service.port)) for _ in range(IDLE_CONNECTIONS)]
    for index, connection in enumerate(idle):
        connection.sendall(hostile.request()[: index % 40])
    _check_health(service, tally, after="idle connections")
    for connection in idle:
        connection.close()


def _check_health(service, tally, *, after):
    if not _answer(service.port, [hostile.request("GET", "/livez")]).startswith(b"HTTP/1.1 200"):
        tally.dead += 1
        tally.wrong["health check", "by hand"] = f"after {after}", ""


def _answer(port, pieces, timeout=TIMEOUT_SECONDS):
    """Send a request in pieces, and return all bytes of the answer, also of an incomplete one."""
    answer = b""
    with suppress(OSError), closing(socket.create_connection(("127.0.0.1", port), TIMEOUT_SECONDS)) as connection:
        with suppress(OSError):  # the service may refuse it and close the connection before all is sent
            for index, piece in enumerate(pieces):
                time.sleep(0.002 if index else 0)
                connection.sendall(piece)
        connection.settimeout(timeout)
        while not _is_complete(answer, pieces[0]) and (more := connection.recv(65536)):
            answer += more
            connection.settimeout(TIMEOUT_SECONDS)
        connection.settimeout(0.001)
        while more := connection.recv(65536):
            answer += more
    return answer


def _is_complete(answer, request):
    head, ended, body = answer.partition(b"\r\n\r\n")
    length = re.search(rb"content-length: (\d+)", head, re.IGNORECASE)
    return bool(ended) and (length is None or request.startswith(b"HEAD") or len(body) >= int(length[1]))


if __name__ == "__main__":
    main()
