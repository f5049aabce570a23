"""What may be done at once, and how that comes back."""

from modelservice_operator.work.allowance import Allowance


def test_allowance_is_spent_and_comes_back_with_time():
    allowance = Allowance(most=2, each_seconds=10.0)
    assert [allowance.spend(100.0) for _ in range(3)] == [True, True, False]
    assert not allowance.spend(109.0)
    assert allowance.spend(110.0)
    assert not allowance.spend(111.0)


def test_allowance_never_holds_more_than_its_most():
    allowance = Allowance(most=2, each_seconds=1.0)
    allowance.spend(0.0)
    assert [allowance.spend(1_000.0) for _ in range(3)] == [True, True, False]
