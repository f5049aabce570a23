"""Ports of the activator: one pair for each service, whoever asks, also after a restart."""

from hypothesis import given
from hypothesis import strategies as st

from modelservice_operator.cache.ports import KEPT_BACK_SECONDS, PortBook
from modelservice_operator.cache.workqueue import Key
from modelservice_operator.facts.ports import STANDBY

KEYS = [Key("mail", f"spam-{n}") for n in range(4)]


class Clock:
    def __init__(self) -> None:
        self.seconds = 1000.0

    def __call__(self) -> float:
        return self.seconds


def test_offer_is_the_same_every_time_and_lies_in_the_range() -> None:
    book = PortBook()
    ports = book.offer(KEYS[0])
    assert ports is not None
    assert ports == book.offer(KEYS[0]) == PortBook().offer(KEYS[0])
    assert ports["grpc"] == ports["http"] + 1
    assert STANDBY[0] <= ports["http"] < ports["grpc"] <= STANDBY[-1]
    assert book.keys == (KEYS[0],)


def test_offer_to_services_whose_places_are_the_same_gives_each_its_own() -> None:
    book = PortBook(range(20_000, 20_008))
    offers = [book.offer(key) for key in KEYS]
    assert sorted(one["http"] for one in offers if one) == [20_000, 20_002, 20_004, 20_006]
    assert book.offer(Key("mail", "late")) is None


def test_freed_ports_are_kept_back_from_others_for_a_while() -> None:
    clock = Clock()
    book = PortBook(range(20_000, 20_002), clock)
    first = book.offer(KEYS[0])
    book.release(KEYS[0])
    assert book.offer(KEYS[1]) is None
    clock.seconds += KEPT_BACK_SECONDS - 1
    assert book.offer(KEYS[0]) == first, "the same service may have them again"
    book.release(KEYS[0])
    clock.seconds += KEPT_BACK_SECONDS - 1
    assert book.offer(KEYS[1]) is None
    clock.seconds += 1
    assert book.offer(KEYS[1]) == first


def test_slices_are_the_record_after_a_restart() -> None:
    before = PortBook(range(20_000, 20_004))
    taken = before.offer(KEYS[0])
    assert taken is not None
    after = PortBook(range(20_000, 20_004))
    after.note(KEYS[0], {"http": taken["http"]})  # without a port for gRPC
    other = after.offer(KEYS[1])
    assert other is not None
    assert other["http"] != taken["http"]
    assert after.offer(KEYS[0]) == taken


def test_two_services_with_the_same_ports_part_and_one_of_them_keeps_them() -> None:
    book = PortBook()
    ports = {"http": 20_010, "grpc": 20_011}
    for key in KEYS[:2]:
        book.note(key, ports)
    assert book.offer(KEYS[0]) == ports
    other = book.offer(KEYS[1])
    assert other is not None
    assert other != ports
    assert book.offer(KEYS[0]) == ports


def test_ports_that_somebody_wrote_into_a_slice_do_not_count() -> None:
    book = PortBook()
    for ports in ({"http": 80, "grpc": 9000}, {}, {"http": 20_011}, {"metrics": 20_000}):
        book.note(KEYS[0], ports)
    assert book.keys == ()
    offered = book.offer(KEYS[0])
    book.note(KEYS[0], {"http": 20_000, "grpc": 20_001})
    assert book.offer(KEYS[0]) == offered


@given(st.lists(st.tuples(st.sampled_from(["offer", "release", "restart", "wait"]), st.sampled_from(KEYS))))
def test_any_history_gives_no_port_to_two_services(steps: list[tuple[str, Key]]) -> None:
    clock = Clock()
    book, written = PortBook(range(20_000, 20_006), clock), {}
    for step, key in steps:
        if step == "offer":
            offered = book.offer(key)
            if offered is not None:
                written[key] = offered
        elif step == "release":
            book.release(key)
            written.pop(key, None)
        elif step == "wait":
            clock.seconds += KEPT_BACK_SECONDS
        else:
            book = PortBook(range(20_000, 20_006), clock)
            for known, ports in written.items():
                book.note(known, ports)
        numbers = [number for ports in written.values() for number in ports.values()]
        assert len(numbers) == len(set(numbers))
