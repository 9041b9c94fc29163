"""What befalls loads and builds: they are killed, lose their server, or find its disk full."""

import signal
import time

import embedded
from tests.chaos.contents import MARTS, contents, differences
from tests.chaos.ground import Ground
from tests.chaos.scenario import Scenario, complaint

MB = 1 << 20
GONE = ("server closed the connection", "connection to server", "terminating connection")
FULL = ("No space left on device", "Check free disk space")


def loaders_killed(ground: Ground, scenario: Scenario) -> None:
    """At times the workers are left to find out by themselves that their parent is gone."""
    for number in scenario.attempts():
        load = ground.loads[number % 2]
        ground.unload(scenario, load)
        loader = ground.begin(*load.command)
        is_alone = ground.rng.random() < 0.5
        if ground.in_a_load(loader, load):
            loader.kill(is_alone)
            status, _ = loader.ended(scenario, -signal.SIGKILL, 0)
            ground.settle(scenario, loader.process.pid)
            if status:
                scenario.hit("its parent killed" if is_alone else "all its processes killed")
        else:
            loader.ended(scenario, 0)
        ground.complete(scenario, load)


def stopped_while_loading(ground: Ground, scenario: Scenario) -> None:
    for number in scenario.attempts():
        load = ground.loads[number % 2]
        ground.unload(scenario, load)
        loader = ground.begin(*load.command)
        if ground.in_a_load(loader, load):
            ground.crash()
            status, said = loader.ended(scenario, 0, 1)
            embedded.start()
            if status:
                scenario.hit(complaint(said))
                _expect_a_reason(scenario, said, GONE)
        else:
            loader.ended(scenario, 0)
        ground.complete(scenario, load)


def stopped_while_building(ground: Ground, scenario: Scenario) -> None:
    """In turn a build of all, of what is left when batteries have gone, and of what comes back."""
    load = ground.loads[0]
    for number in scenario.attempts():
        if number % 3 == 2:
            ground.unload(scenario, load)
        elif number % 3 == 0:
            ground.complete(scenario, load)
        build = ground.build(*["--full-refresh"] * (number % 3 == 1))
        if ground.in_a_build(build):
            ground.crash()
            status, said = build.ended(scenario, 0, 1, 2)
            embedded.start()
            if status:
                scenario.hit(complaint(said))
                _expect_a_reason(scenario, said, GONE)
            else:
                scenario.expect("ERROR=0" in said, f"a build that failed ended with 0:\n{said}")
        else:
            build.ended(scenario, 0)
        if number % 3 == 1 and number > 1:
            rebuilt(ground, scenario)
    ground.complete(scenario, load)
    rebuilt(ground, scenario)


def disk_full_while_loading(ground: Ground, scenario: Scenario) -> None:
    for number in scenario.attempts():
        load = ground.loads[number % 2]
        ground.unload(scenario, load)
        ground.leave_on_disk(ground.rng.randrange(MB // 4))
        status, said = ground.begin(*load.command).ended(scenario, 0, 1)
        ground.leave_on_disk(None)
        if status:
            scenario.hit(complaint(said))
            _expect_a_reason(scenario, said, FULL)
        ground.complete(scenario, load)


def disk_full_while_building(ground: Ground, scenario: Scenario) -> None:
    if not ground.disk:  # no table of so small a build is as long as a segment
        scenario.seen["not tried: only root may mount a small disk"] += 1
        return
    for _ in scenario.attempts():
        ground.leave_on_disk(ground.rng.randrange(2 * MB))
        status, said = ground.build("--full-refresh").ended(scenario, 0, 1, 2)
        if status:
            scenario.hit(complaint(said))
            _expect_a_reason(scenario, said, FULL)
        ground.leave_on_disk(None)
        # Of the same recordings: what stands is from before, or whole.
        there = contents(ground.url, MARTS)
        scenario.faults += differences(ground.truth, there, is_part=True)
    rebuilt(ground, scenario)


def two_builds_at_once(ground: Ground, scenario: Scenario) -> None:
    for _ in scenario.attempts():
        first = ground.build("--full-refresh")
        time.sleep(ground.rng.uniform(0, ground.build_s))
        second = ground.build("--full-refresh")
        ended = [it.ended(scenario, 0, 1, 2) for it in (first, second)]
        stopped = [said for status, said in ended if status]
        scenario.expect(len(stopped) < 2, "each of two builds stopped")
        for said in stopped:
            scenario.hit(complaint(said))
            scenario.expect("another run of dbt has been at work" in said, said)
        scenario.faults += differences(ground.truth, contents(ground.url))


def rebuilt(ground: Ground, scenario: Scenario) -> None:
    """Build once more; everything then has to be as in a clean build."""
    ground.build().ended(scenario, 0)
    scenario.faults += differences(ground.truth, contents(ground.url))


def _expect_a_reason(scenario: Scenario, said: str, reasons: tuple[str, ...]) -> None:
    scenario.expect(any(it in said for it in reasons), f"it does not say why:\n{said}")
