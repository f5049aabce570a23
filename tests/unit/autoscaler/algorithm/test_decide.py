from __future__ import annotations

from dataclasses import replace

import pytest
from tests.unit.autoscaler.algorithm.playing import (
    CONCURRENCY,
    FREE,
    Player,
    make_load,
    make_spec,
    pods_with,
)

from modelservice_autoscaler.algorithm.decide import decide
from modelservice_autoscaler.algorithm.decision import Look
from modelservice_autoscaler.algorithm.load import GpuLoad, Sample, TextLoad
from modelservice_autoscaler.algorithm.spec import DEFAULT_DOWN, Policy, Rules, Signal
from modelservice_autoscaler.algorithm.state import EMPTY


def test_steady_load_within_the_tolerance_changes_nothing() -> None:
    player = Player(make_spec(), 2)
    decision = player.play(pods_with(8.5, 7.6), 400)
    assert decision.desired == 2
    assert decision.message == "Concurrency 8.05 of 8 a pod: stays at 2"
    assert {one.desired for _, one in player.decisions} == {2}


def test_higher_load_asks_for_more_and_says_why() -> None:
    player = Player(make_spec(), 2)
    player.play(pods_with(12.4, 12.4), 30)
    (scaled,) = [one for _, one in player.decisions if one.desired != one.replicas]
    assert (scaled.replicas, scaled.desired) == (2, 4)
    assert scaled.message == "Concurrency 12.4 of 8 a pod: 2 -> 4"
    assert scaled.limit is None
    assert scaled.missing is None


def test_lower_load_waits_for_the_whole_window() -> None:
    player = Player(make_spec(), 4)
    player.play(pods_with(8.0, 8.0, 8.0, 8.0), 400)
    began = player.now
    decision = player.play(pods_with(2.0, 2.0, 2.0, 2.0), 250)
    assert (decision.desired, decision.limit) == (4, "Stabilized")
    assert decision.message == "Concurrency 2 of 8 a pod: stays at 4, 1 wanted"
    player.play(pods_with(2.0, 2.0, 2.0, 2.0), 100)
    first = next(now for now, one in player.decisions if one.desired < 4)
    assert 300 <= first - began <= 320


@pytest.mark.parametrize("window", [0.0, 300.0])
def test_restarted_autoscaler_scales_up_at_once_and_down_after_a_window(window: float) -> None:
    down = replace(DEFAULT_DOWN, stabilization_seconds=window)
    up = Player(make_spec(down=down), 2)
    up.play(pods_with(14.0, 14.0), 3)
    assert up.replicas == 4
    lower = Player(make_spec(down=down), 4)
    began = lower.now
    lower.play(pods_with(1.0, 1.0, 1.0, 1.0), window + 30)
    first = next(now for now, one in lower.decisions if one.desired < 4)
    assert max(window, 15) <= first - began <= max(window, 15) + 1


def test_gap_in_the_looks_is_like_a_restart() -> None:
    player = Player(make_spec(), 4)
    player.play(pods_with(8.0, 8.0, 8.0, 8.0), 60)
    player.now += 1000
    player.play(pods_with(0.5, 0.5, 0.5, 0.5), 280)
    assert player.replicas == 4
    player.play(pods_with(0.5, 0.5, 0.5, 0.5), 40)
    assert player.replicas == 1


def test_bounds_hold_at_once_whatever_the_signals_say() -> None:
    silent = pods_with(None, None)
    above = Player(make_spec(most=4), 6).play(silent, 0)
    assert (above.desired, above.limit, above.message) == (4, "MaxReplicas", "maxReplicas is 4: 6 -> 4")
    below = Player(make_spec(least=3), 2).play(silent, 0)
    assert (below.desired, below.limit, below.message) == (3, "MinReplicas", "minReplicas is 3: 2 -> 3")


def test_bounds_do_not_replace_the_window() -> None:
    player = Player(make_spec(most=4), 6)
    player.play(pods_with(*[0.5] * 6), 1)
    player.play(pods_with(*[0.5] * 4), 280)
    assert player.replicas == 4
    player.play(pods_with(*[0.5] * 4), 40)
    assert player.replicas == 1


def test_limits_are_named() -> None:
    most = Player(make_spec(most=5), 4).play(pods_with(*[20.0] * 4), 3)
    assert (most.desired, most.limit) == (5, "MaxReplicas")
    one_a_minute = Rules((Policy("Pods", 1, 60),), policies_are_default=False)
    rate = Player(make_spec(up=one_a_minute), 4)
    rate.play(pods_with(*[12.0] * 4), 3)
    last = rate.decisions[-1][1]
    assert (rate.replicas, last.limit) == (5, "ScaleUpRate")
    slow = Player(make_spec(down=replace(one_a_minute, stabilization_seconds=0.0)), 4)
    slow.play(pods_with(*[1.0] * 4), 30)
    assert (slow.replicas, slow.decisions[-1][1].limit) == (3, "ScaleDownRate")
    least = Player(make_spec(least=2, down=FREE), 4)
    least.play(pods_with(*[0.0] * 4), 30)
    assert (least.replicas, least.decisions[-1][1].limit) == (2, "MinReplicas")


def test_service_that_nobody_asks_wants_its_one_pod_and_nothing_holds_it_up() -> None:
    player = Player(make_spec(), 1)
    decision = player.play(pods_with(0.0), 30)
    assert (decision.desired, decision.limit) == (1, None)
    assert decision.message == "Concurrency 0 of 8 a pod: stays at 1"


def test_fewest_pods_are_the_limit_while_the_window_lasts_too() -> None:
    decision = Player(make_spec(least=3), 3).play(pods_with(*[1.0] * 3), 30)
    assert (decision.desired, decision.limit) == (3, "MinReplicas")
    assert decision.message == "Concurrency 1 of 8 a pod: stays at 3, 1 wanted"


def test_no_replicas_are_no_decision_and_no_memory() -> None:
    player = Player(make_spec(), 1)
    player.play(pods_with(8.0), 30)
    decision = decide(player.spec, Look(0, {}), player.state, player.now)
    assert (decision.desired, decision.state) == (0, EMPTY)


class TestMissing:
    """Data that is not there."""

    def test_nothing_goes_while_a_pod_does_not_answer(self) -> None:
        player = Player(make_spec(down=FREE), 4)
        player.play(pods_with(8.0, 8.0, 8.0, 8.0), 60)
        decision = player.play(pods_with(1.0, 1.0, None, None), 60)
        assert decision.missing == "2 of 4 pods do not answer"
        assert (decision.desired, decision.limit) == (4, "Stabilized")
        player.play(pods_with(1.0, 1.0, 1.0, 1.0), 2)
        assert player.replicas == 1

    def test_one_lost_answer_is_not_missing(self) -> None:
        player = Player(make_spec(), 2)
        player.play(pods_with(8.0, 8.0), 30)
        assert player.play(pods_with(8.0, None), 4).missing is None
        assert player.play(pods_with(8.0, None), 2).missing == "1 of 2 pods does not answer"

    def test_silent_pod_counts_as_idle_when_more_are_asked_for(self) -> None:
        player = Player(make_spec(), 3)
        player.play(pods_with(8.0, 8.0, None), 30)
        assert player.replicas == 3
        player.play(pods_with(15.9, 15.9, None), 30)
        assert player.replicas == 4

    def test_work_of_a_silent_pod_is_not_known(self) -> None:
        player = Player(make_spec(), 2)
        player.play(pods_with(8.0, 8.0), 60)
        decision = player.play(pods_with(8.0, None), 8)
        assert decision.readings[0].total == pytest.approx(8.0)

    def test_all_silent_keeps_what_is_there(self) -> None:
        player = Player(make_spec(), 4)
        player.play(pods_with(8.0, 8.0, 8.0, 8.0), 60)
        decision = player.play(pods_with(None, None, None, None), 600)
        assert (decision.desired, decision.missing) == (4, "4 of 4 pods do not answer")
        player.play(pods_with(1.0, 1.0, 1.0, 1.0), 290)
        assert player.replicas == 4, "what was recommended while nobody answered is not known"
        player.play(pods_with(1.0, 1.0, 1.0, 1.0), 20)
        assert player.replicas == 1

    def test_no_ready_pod_is_said(self) -> None:
        decision = Player(make_spec(), 2).play({}, 10)
        assert (decision.desired, decision.missing) == (2, "no pod is ready")
        assert decision.message == "nothing is known yet"

    def test_pod_that_has_just_come_is_not_missing(self) -> None:
        player = Player(make_spec(), 2)
        player.play(pods_with(8.0), 30)
        decision = player.play(pods_with(8.0, None), 4)
        assert decision.missing is None

    def test_unknown_signal_keeps_pods_but_others_may_ask_for_more(self) -> None:
        gpu = Signal("GPU", 80.0, percent=True, whole=1.0)
        player = Player(make_spec(CONCURRENCY, gpu, down=FREE), 3)
        decision = player.play(pods_with(1.0, 1.0, 1.0), 60)
        assert (decision.desired, decision.missing) == (3, "3 of 3 pods do not tell GPU")
        player.play(pods_with(15.0, 15.0, 15.0), 30)
        assert player.replicas == 6

    def test_what_was_unknown_for_a_while_does_not_count_as_little(self) -> None:
        gpu = Signal("GPU", 80.0, percent=True, whole=1.0)
        player = Player(make_spec(CONCURRENCY, gpu), 3)
        player.play(pods_with(1.0, 1.0, 1.0), 400)
        player.gpus = (GpuLoad(0.1),)
        player.play(pods_with(1.0, 1.0, 1.0), 200)
        assert player.replicas == 3
        player.play(pods_with(1.0, 1.0, 1.0), 120)
        assert player.replicas == 1

    def test_percentage_of_no_request_is_missing(self) -> None:
        player = Player(make_spec(Signal("CPU", 80.0, percent=True), down=FREE), 3)
        decision = player.play(pods_with(1.0, 1.0, 1.0), 60)
        assert decision.desired == 3
        assert decision.missing == (
            "CPU is a percentage of the request, and the pods request none: "
            "add spec.resources.requests.cpu, or steer by averageValue"
        )


class TestPodsChange:
    """Pods that come, go and start anew."""

    def test_counters_that_went_back_are_those_of_a_new_pod(self) -> None:
        player = Player(make_spec(down=FREE), 2)
        player.play(pods_with(8.0, 8.0), 60)
        player.counters["pod-1"] = make_load(uptime_seconds=1.0)
        decision = player.play(pods_with(8.0, 8.0), 30)
        assert {one.desired for _, one in player.decisions} == {2}
        assert decision.readings[0].total == pytest.approx(16.0)

    def test_new_pods_that_take_over_a_share_change_no_total(self) -> None:
        player = Player(make_spec(up=FREE), 2, follows=False)
        player.play(pods_with(16.0, 16.0), 60)
        player.replicas = 4
        for _ in range(30):
            decision = player.play(pods_with(8.0, 8.0, 8.0, 8.0), 1)
            assert decision.desired == 4
            # The two new ones are not known before their second answer.
            assert decision.readings[0].total <= 33.0
        assert decision.readings[0].total == pytest.approx(32.0)

    def test_pods_that_went_leave_their_work_to_the_others(self) -> None:
        player = Player(make_spec(down=FREE), 4, follows=False)
        player.play(pods_with(4.0, 4.0, 4.0, 4.0), 60)
        player.replicas = 2
        for _ in range(30):
            decision = player.play(pods_with(8.0, 8.0), 1)
            assert decision.desired == 2
            assert 15.0 <= decision.readings[0].total <= 17.0  # type: ignore[operator]

    def test_pods_that_answer_at_other_moments_count_in_full_after_a_restart(self) -> None:
        state = EMPTY
        for second in range(3):
            pods: dict[str, Sample | None] = {"early": None, "late": None}
            for uid, ago in (("early", 0.0), ("late", 0.8)):
                at = second - ago
                if at >= 0:
                    load = make_load(uptime_seconds=100 + at, running=8, in_flight_seconds=8 * at)
                    pods[uid] = Sample(at, load)
            decision = decide(make_spec(), Look(2, pods), state, float(second))
            state = decision.state
        assert decision.readings[0].total == pytest.approx(16.0)

    def test_pods_that_are_starting_are_not_asked_for_again(self) -> None:
        player = Player(make_spec(), 2)
        player.play(pods_with(8.0, 8.0), 60)
        player.play(pods_with(12.4, 12.4), 60)
        # Three will have 8.3 each, which is near enough to 8.
        assert player.replicas == 3


class TestBurst:
    """A load that grows at once."""

    def test_eightfold_load_is_met_within_three_seconds(self) -> None:
        for begins_after in (0.0, 0.25, 0.5, 0.75):
            player = Player(make_spec(), 1)
            player.play(pods_with(8.0), 60)
            player._work("pod-0", 8.0, begins_after)
            player._work("pod-0", 64.0, 1 - begins_after)
            began = player.now + begins_after
            player.now += 1
            player.play(pods_with(64.0), 5)
            reached = next(now for now, one in player.decisions if one.desired == 8)
            assert reached - began <= 3.0

    def test_pods_that_are_there_at_once_do_not_end_the_burst(self) -> None:
        player = Player(make_spec(), 1)
        player.play(pods_with(8.0), 60)
        player.play(pods_with(64.0), 1)
        assert 2 < player.replicas < 8
        player.play(pods_with(*[64.0 / player.replicas] * player.replicas), 4)
        assert player.replicas == 8

    def test_burst_goes_beyond_the_default_policies_once_a_minute(self) -> None:
        player = Player(make_spec(), 1)
        player.play(pods_with(8.0), 60)
        player.play(pods_with(800.0), 10)
        assert (player.replicas, player.decisions[-1][1].limit) == (8, "ScaleUpRate")
        player.play(pods_with(800.0), 10)
        assert player.replicas == 16, "the default policy: twice as many in 15 s"

    def test_burst_keeps_to_policies_that_somebody_set(self) -> None:
        player = Player(make_spec(up=Rules((Policy("Pods", 2, 60),), policies_are_default=False)), 1)
        player.play(pods_with(8.0), 60)
        player.play(pods_with(64.0), 10)
        assert player.replicas == 3

    def test_message_names_the_window(self) -> None:
        player = Player(make_spec(), 1)
        player.play(pods_with(8.0), 60)
        player.play(pods_with(64.0), 2)
        scaled = next(one for _, one in player.decisions if one.desired > 1)
        assert scaled.message == "Concurrency 36 of 8 a pod over 2 s: 1 -> 5"

    def test_less_than_twice_is_no_burst(self) -> None:
        player = Player(make_spec(), 4)
        player.play(pods_with(*[8.0] * 4), 60)
        decision = player.play(pods_with(*[14.0] * 4), 2)
        assert "over" not in decision.message

    def test_nothing_goes_for_half_a_minute_after_a_burst(self) -> None:
        player = Player(make_spec(down=FREE), 1)
        player.play(pods_with(8.0), 60)
        player.play(pods_with(64.0), 3)
        assert player.replicas == 8
        began = player.now
        few = pods_with(*[0.5] * 8)
        decision = player.play(few, 25)
        assert (decision.desired, decision.limit) == (8, "Stabilized")
        player.play(few, 10)
        assert player.replicas == 1
        first = next(now for now, one in player.decisions if now > began and one.desired < 8)
        assert 28 <= first - began <= 33

    def test_busy_cores_are_no_burst(self) -> None:
        player = Player(make_spec(Signal("CPU", 0.1)), 1)
        for step in range(40):
            cpu = 0.05 * step if step < 30 else 1.5 + 3.0 * (step - 30)
            player.asked["pod-0"] = Sample(player.now, make_load(uptime_seconds=step, cpu_seconds=cpu))
            decision = decide(player.spec, Look(1, player.asked), player.state, player.now)
            player.state = decision.state
            player.now += 1
            assert "over" not in decision.message


class TestSignals:
    """What each signal reads."""

    @pytest.mark.parametrize(
        ("signal", "fields", "value", "words"),
        [
            (Signal("RequestRate", 10.0), {"requests": 12.0}, 12.0, "12 of 10 requests a second a pod"),
            (Signal("CPU", 0.5), {"cpu_seconds": 0.75}, 0.75, "0.75 of 0.5 cores a pod"),
            (
                Signal("CPU", 80.0, percent=True, whole=2.0),
                {"cpu_seconds": 1.5},
                75.0,
                "75 % of 80 %",
            ),
            (Signal("Concurrency", 8.0), {"in_flight_seconds": 6.5}, 6.5, "6.5 of 8 a pod"),
        ],
    )
    def test_counter_is_read_per_second(
        self, signal: Signal, fields: dict[str, float], value: float, words: str
    ) -> None:
        state = EMPTY
        for second in range(20):
            counted = {name: 1000 + each * second for name, each in fields.items()}
            sample = Sample(float(second), make_load(uptime_seconds=second, **counted))
            decision = decide(make_spec(signal), Look(1, {"a": sample}), state, float(second))
            state = decision.state
        assert decision.readings[0].value == pytest.approx(value)
        assert f"{signal.type} {words}:" in decision.message

    @pytest.mark.parametrize(
        ("signal", "value", "words"),
        [
            (Signal("Memory", 2.0**30), 1.5 * 2**30, "Memory 1.5Gi of 1Gi a pod"),
            (Signal("GPU", 80.0, percent=True, whole=1.0), 60.0, "GPU 60 % of 80 %"),
            (Signal("GPU", 80.0, "Memory", percent=True, whole=1.0), 25.0, "GPU 25 % of 80 %"),
            (Signal("TokensInFlight", 4e3), 6000.0, "TokensInFlight 6000 of 4000 tokens a pod"),
            (Signal("KVCache", 80.0, percent=True, whole=1.0), 91.0, "KVCache 91 % of 80 %: 1 -> 2"),
            (Signal("WaitingRequests", 2.0), 3.0, "WaitingRequests 3 of 2 a pod: 1 -> 2"),
        ],
    )
    def test_level_is_averaged(self, signal: Signal, value: float, words: str) -> None:
        gpus = (GpuLoad(0.5, 10, 40), GpuLoad(0.7, 10, 40))
        state = EMPTY
        for second in (0, 1, 2, 4, 6, 7, 10, 12, 14, 15, 16, 18):
            load = make_load(
                uptime_seconds=second,
                memory_bytes=1.5 * 2**30,
                gpus=gpus,
                running=16,
                waiting=3,
                in_flight_seconds=19.0 * second,
                texts=TextLoad(6000.0, 0.91, 16),
            )
            decision = decide(
                make_spec(signal), Look(1, {"a": Sample(float(second), load)}), state, float(second)
            )
            state = decision.state
        assert decision.readings[0].value == pytest.approx(value)
        assert words in decision.message

    @pytest.mark.parametrize(
        "signal", [Signal("TokensInFlight", 4e3), Signal("KVCache", 80.0, percent=True, whole=1.0)]
    )
    def test_pod_that_tells_nothing_of_texts_keeps_what_is_there(self, signal: Signal) -> None:
        state = EMPTY
        for second in range(40):
            idle, older = (
                make_load(uptime_seconds=100.0 + second, texts=texts)
                for texts in (TextLoad(0.0, 0.0, 16), None)
            )
            pods = {"a": Sample(float(second), idle), "b": Sample(float(second), older)}
            spec = make_spec(signal, down=FREE)
            decision = decide(spec, Look(2, pods), state, float(second))
            state = decision.state
            assert decision.desired == 2
        assert decision.missing == f"1 of 2 pods does not tell {signal.type}"
        assert decision.readings[0].untold == 1

    def test_queue_time_is_the_95th_percentile_of_all_pods_together(self) -> None:
        bounds = (0.01, 0.1, 1.0)
        state = EMPTY
        for second in range(20):
            pods = {
                "short": Sample(
                    float(second),
                    make_load(queue_bounds_seconds=bounds, queue_counts=(5000 + 90 * second, 0, 0, 0)),
                ),
                "long": Sample(
                    float(second),
                    make_load(queue_bounds_seconds=bounds, queue_counts=(0, 10 * second, 9, 0)),
                ),
            }
            decision = decide(make_spec(Signal("QueueTime", 0.05)), Look(2, pods), state, float(second))
            state = decision.state
        # Of 100 a second 90 are short; the 95th is in the middle of the next bucket.
        assert decision.readings[0].value == pytest.approx(0.055)
        assert decision.message == "QueueTime 0.055 s of 0.05 s: stays at 2"

    def test_queue_that_nobody_asked_about_is_unknown_for_a_moment(self) -> None:
        load = make_load(queue_bounds_seconds=(0.1,), queue_counts=(5, 0))
        state = EMPTY
        for second in range(40):
            signals = (CONCURRENCY, Signal("QueueTime", 0.05)) if second >= 20 else (CONCURRENCY,)
            look = Look(1, {"a": Sample(float(second), replace(load, uptime_seconds=100.0 + second))})
            decision = decide(make_spec(*signals), look, state, float(second))
            state = decision.state
            assert decision.desired == 1
        assert decision.missing is None

    def test_the_signal_that_asks_for_most_counts(self) -> None:
        rate = Signal("RequestRate", 40.0)
        player = Player(make_spec(CONCURRENCY, rate), 2)
        player.play(pods_with(6.0, 6.0), 30)  # 60 requests a second each
        assert player.replicas == 3
        assert "RequestRate" in next(one for _, one in player.decisions if one.desired > 2).message


def test_answers_that_were_long_on_their_way_are_no_burst() -> None:
    state = EMPTY
    for second in range(40):
        # What was asked for at 30 s was answered by the server only when it was asked again.
        told = second + 0.9 if second % 10 == 0 else second
        load = make_load(uptime_seconds=100 + told, running=8, in_flight_seconds=8 * told, requests=80 * told)
        decision = decide(make_spec(), Look(1, {"a": Sample(float(second), load)}), state, float(second))
        state = decision.state
        assert decision.desired == 1
        assert second < 2 or decision.readings[0].value == pytest.approx(8.0)


def test_state_does_not_grow() -> None:
    player = Player(make_spec(), 2)
    player.play(pods_with(8.0, 8.0), 120, every=0.1)
    for name in ("a", "b", "c"):
        player.play({name: 8.0, "pod-0": 8.0}, 40)
    assert len(player.state.tracks) == 2
    assert all(len(track.points) <= 33 for track in player.state.tracks.values())
    assert len(player.state.highest) + len(player.state.lowest) <= 10


def test_answer_that_is_handed_in_again_counts_once() -> None:
    player = Player(make_spec(), 1)
    player.play(pods_with(8.0), 20)
    points = player.state.tracks["pod-0"].points
    again = decide(player.spec, Look(1, player.asked), player.state, player.now + 0.5)
    assert again.state.tracks["pod-0"].points == points
