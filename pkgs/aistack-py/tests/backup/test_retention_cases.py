"""The planner: what other backup programs got wrong, and what it says about each backup."""

from datetime import UTC, datetime, timedelta, timezone

from series import Repository, at, backup, kept, reasons

from aistack.backup.retention import Backup, Policy, archive_window, drops, plan

DAY = timedelta(days=1)
NONE = Policy(0, 0, 0)


def daily(start: str, days: int, hour: str = "02:00") -> list[Backup]:
    """One a day, all whole."""
    return [backup(f"{at(start) + DAY * n:%Y-%m-%d}T{hour}") for n in range(days)]


def test_weeklies_and_monthlies_survive_the_dailies() -> None:
    """databasus#773: after a month of dailies there were seven dailies and nothing else."""
    repository = Repository(Policy(7, 4, 12))
    for one in daily("2026-07-01", 67, "12:06"):
        repository.add(one)
    assert [id_[:10] for id_ in repository.ids] == [
        *(f"2026-09-{day:02}" for day in range(5, 0, -1)),
        "2026-08-31",
        "2026-08-30",
        "2026-08-23",
        "2026-08-16",
        "2026-07-31",
    ]


def test_hourly_backups_do_not_keep_the_dailies_from_being_cleaned() -> None:
    """databasus#427: with hourly backups nothing of the daily rule was ever dropped."""
    repository = Repository(Policy(3, 0, 0))
    for hour in range(10 * 24):
        repository.add(backup(f"{at('2026-03-02') + timedelta(hours=hour):%Y-%m-%dT%H:%M}"))
    assert repository.ids == ["2026-03-11T23:00", "2026-03-10T23:00", "2026-03-09T23:00"]


def test_what_an_older_policy_left_is_dropped() -> None:
    """databasus#423: backups from before the policy stayed for ever."""
    decisions = plan(daily("2026-01-01", 70), Policy(7, 0, 1), at("2026-03-12"))
    assert len(kept(decisions)) == 7
    assert len(drops(decisions)) == 63


def test_two_days_are_two_slots_and_two_of_a_day_are_one() -> None:
    """Skyfay/DBackup#101 and frappe/pilot#505: each run dropped the backup of the day before."""
    repository = Repository(Policy(2, 0, 0))
    for text in ("2026-05-25T10:00", "2026-05-26T10:00"):
        repository.add(backup(text))
    assert repository.ids == ["2026-05-26T10:00", "2026-05-25T10:00"]
    repository.add(backup("2026-05-26T11:00"))
    assert repository.ids == ["2026-05-26T11:00", "2026-05-25T10:00"]


def test_weekly_alone_keeps_last_weeks_last() -> None:
    """backrest#556: yesterday's goes each day, and after weeks only four Sundays and today stay."""
    repository = Repository(Policy(0, 4, 0))
    for one in daily("2026-06-01", 39):
        repository.add(one)
    assert [id_[:10] for id_ in repository.ids] == [
        "2026-07-09",
        "2026-07-05",
        "2026-06-28",
        "2026-06-21",
    ]


def test_rules_count_by_themselves() -> None:
    """borg#8221: there a month counts only if no finer rule keeps one of it; here it does."""
    decisions = plan(daily("2026-04-01", 45), Policy(1, 2, 2), at("2026-05-15T12:00"))
    assert {id_: why for id_, why in reasons(decisions).items() if id_ in kept(decisions)} == {
        "2026-05-15T02:00": (
            "newest good one",
            "daily 2026-05-15",
            "weekly 2026-W20",
            "monthly 2026-05",
        ),
        "2026-05-10T02:00": ("weekly 2026-W19",),
        "2026-04-30T02:00": ("monthly 2026-04",),
    }


def test_a_host_that_was_off_loses_nothing_by_age() -> None:
    """Rules that go by age empty the repository of a host that comes back after months."""
    before = plan(daily("2026-01-01", 90), Policy(), at("2026-03-31T12:00"))
    stayed = [decision.backup for decision in before if decision.keep]
    assert drops(plan(stayed, Policy(), at("2028-01-01"))) == []


def test_a_clock_years_ahead_costs_one_slot_of_each_rule() -> None:
    """A board without a battery boots in another year and takes a backup there."""
    repository = Repository(Policy(7, 4, 12))
    for one in daily("2026-01-01", 200):
        repository.add(one)
    before = repository.ids
    repository.add(backup("2036-01-01T00:00"))
    assert len(set(before) - set(repository.ids)) <= 3
    # The right time again: what looks like the future stays, and takes no slot.
    repository.add(backup("2026-07-20T02:00"))
    assert repository.ids[:2] == ["2036-01-01T00:00", "2026-07-20T02:00"]
    assert len([id_ for id_ in repository.ids if id_ >= "2026-07-14"]) == 8


def test_a_clock_back_at_its_epoch_drops_nothing() -> None:
    decisions = plan(daily("2026-01-01", 50), Policy(), at("1970-01-01"))
    assert drops(decisions) == []
    assert set(reasons(decisions).values()) == {("in the future: clock?",)}


def test_a_flood_of_the_future_pushes_nothing_out() -> None:
    """What restic's manual warns of: whoever can set the clock can fill a rule's slots."""
    real = daily("2026-01-01", 60)
    flood = daily("2027-01-01", 60)
    now = at("2026-03-02")
    assert kept(plan([*real, *flood], Policy(), now))[60:] == kept(plan(real, Policy(), now))


def test_this_very_second_is_not_the_future() -> None:
    now = at("2026-03-02")
    (decision,) = plan([backup("2026-03-02")], NONE, now)
    assert decision.reasons == ("newest good one",)


def test_days_are_of_utc_wherever_the_host_is() -> None:
    """A day of 25 hours, and evenings that are tomorrow already."""
    summer, winter = timezone(timedelta(hours=2)), timezone(timedelta(hours=1))
    new_york = timezone(timedelta(hours=-5))
    backups = [
        Backup("a", datetime(2026, 10, 25, 2, 30, tzinfo=summer)),
        Backup("b", datetime(2026, 10, 25, 2, 30, tzinfo=winter)),
        Backup("c", datetime(2026, 10, 25, 23, 30, tzinfo=new_york)),
    ]
    decisions = plan(backups, Policy(9, 0, 0), datetime(2026, 10, 27, tzinfo=summer))
    assert reasons(decisions) == {
        "c": ("newest good one", "daily 2026-10-26"),
        "b": ("daily 2026-10-25",),
        "a": ("another of the same day is kept",),
    }
    assert decisions[0].backup.taken_at.tzinfo is UTC


def test_a_week_over_new_year_is_one_week() -> None:
    """Weeks by year and week number of the calendar are two there, or one of another year."""
    decisions = plan(daily("2026-12-26", 11), Policy(0, 9, 0), at("2027-01-06"))
    assert {id_[:10]: why for id_, why in reasons(decisions).items() if id_ in kept(decisions)} == {
        "2027-01-05": ("newest good one", "weekly 2027-W01"),
        "2027-01-03": ("weekly 2026-W53",),
        "2026-12-27": ("weekly 2026-W52",),
    }


def test_the_same_week_and_month_of_another_year_are_others() -> None:
    backups = [backup("2025-11-19"), backup("2026-11-18")]
    for policy in (Policy(0, 2, 0), Policy(0, 0, 2)):
        assert drops(plan(backups, policy, at("2026-11-23"))) == []


def test_the_newest_good_one_outlives_a_run_of_bad_ones() -> None:
    """Where the last N are kept, N failures in a row drop the last that could be restored."""
    repository = Repository(Policy(2, 0, 0))
    repository.add(backup("2026-01-01"))
    for day in range(2, 12):
        repository.add(backup(f"2026-01-{day:02}", good=False))
    decisions = plan(repository.backups.values(), Policy(2, 0, 0), at("2026-01-12"))
    assert kept(decisions)[-1] == "2026-01-01"
    assert reasons(decisions)["2026-01-11"] == ("damaged, but no good one is newer",)
    # The first that is good again settles it.
    repository.add(backup("2026-01-12"))
    assert repository.ids == ["2026-01-12", "2026-01-01"]


def test_without_a_good_one_nothing_goes() -> None:
    bad = [backup(f"2026-01-{day:02}", good=False) for day in range(1, 30)]
    assert drops(plan(bad, NONE, at("2026-02-01"))) == []
    assert drops(plan([*bad, backup("2027-01-01")], NONE, at("2026-02-01"))) == []


def test_a_chain_goes_as_one() -> None:
    """barman#keep and pgBackRest: dropping a full backup drops all that builds on it."""
    chain = [
        backup("2026-01-04"),
        backup("2026-01-05", "2026-01-04"),
        backup("2026-01-06", "2026-01-05"),
        backup("2026-01-07", "2026-01-04"),
        backup("2026-01-11"),
    ]
    decisions = plan(chain, Policy(2, 0, 0), at("2026-01-12"))
    assert reasons(decisions) == {
        "2026-01-11": ("newest good one", "daily 2026-01-11"),
        "2026-01-07": ("daily 2026-01-07",),
        "2026-01-06": ("older than every rule",),
        "2026-01-05": ("older than every rule",),
        "2026-01-04": ("needed by 2026-01-07",),
    }
    assert drops(decisions) == ["2026-01-06", "2026-01-05"]
    more = reasons(plan(chain, Policy(3, 0, 0), at("2026-01-12")))
    assert more["2026-01-05"] == ("needed by 2026-01-06",)
    assert more["2026-01-04"] == ("needed by 2026-01-07 and 1 more",)


def test_a_damaged_full_one_damages_what_builds_on_it() -> None:
    """A rule that looks at each file by itself keeps a week that nobody can restore."""
    backups = [
        backup("2026-01-01"),
        backup("2026-01-02", good=False),
        backup("2026-01-03", "2026-01-02"),
        backup("2026-01-04", "2026-01-03"),
        backup("2026-01-05", "gone"),
        backup("2026-01-06", "2026-01-05"),
        backup("2026-01-07"),
        backup("2026-01-08", "2026-01-05"),
    ]
    assert reasons(plan(backups, Policy(2, 0, 0), at("2026-01-09"))) == {
        "2026-01-08": ("needs gone, which is missing, but no good one is newer",),
        "2026-01-07": ("newest good one", "daily 2026-01-07"),
        "2026-01-06": ("needs gone, which is missing; a newer one is good",),
        "2026-01-05": ("needed by 2026-01-08",),
        "2026-01-04": ("needs 2026-01-02, which is damaged; a newer one is good",),
        "2026-01-03": ("needs 2026-01-02, which is damaged; a newer one is good",),
        "2026-01-02": ("damaged; a newer one is good",),
        "2026-01-01": ("daily 2026-01-01",),
    }


def test_a_chain_across_a_clock_that_stepped_back_stays_whole() -> None:
    """By time alone the incremental one is older than what it builds on."""
    backups = [
        backup("2026-01-04T10:00"),
        backup("2026-01-04T09:00", "2026-01-04T10:00"),
        backup("2026-01-05"),
    ]
    decisions = plan(backups, Policy(1, 0, 0), at("2026-01-06"))
    assert drops(decisions) == ["2026-01-04T09:00", "2026-01-04T10:00"]
    pinned = [backups[0], backup("2026-01-04T09:00", "2026-01-04T10:00", pinned=True), backups[2]]
    assert reasons(plan(pinned, Policy(1, 0, 0), at("2026-01-06"))) == {
        "2026-01-05": ("newest good one", "daily 2026-01-05"),
        "2026-01-04T10:00": ("needed by 2026-01-04T09:00",),
        "2026-01-04T09:00": ("pinned",),
    }


def test_a_policy_of_nothing_and_a_list_of_nothing() -> None:
    assert plan([], Policy(), at("2026-01-01")) == []
    assert kept(plan(daily("2026-01-01", 9), NONE, at("2026-02-01"))) == ["2026-01-09T02:00"]


def test_why_one_of_a_kept_month_goes() -> None:
    said = reasons(plan(daily("2026-01-01", 75, "23:00"), Policy(1, 1, 2), at("2026-03-17")))
    assert said["2026-03-16T23:00"][0] == "newest good one"
    assert said["2026-03-15T23:00"] == ("another of the same month is kept",)
    assert said["2026-02-27T23:00"] == ("another of the same month is kept",)
    assert said["2026-01-31T23:00"] == ("older than every rule",)
    week = reasons(plan(daily("2026-03-09", 5), Policy(1, 1, 2), at("2026-03-17")))
    assert week["2026-03-12T02:00"] == ("another of the same week is kept",)


def test_the_window_counts_damaged_ones_as_pgbackrest_does() -> None:
    backups = [
        backup("2026-01-01"),
        backup("2026-01-10"),
        backup("2026-01-11", good=False, pinned=True),
        backup("2026-01-12", "2026-01-11", pinned=True),
        backup("2026-01-18"),
        backup("2026-01-19", "2026-01-18"),
    ]
    decisions = plan(backups, Policy(), at("2026-01-20"))
    assert archive_window(decisions, at("2026-01-20"), 0) == 1
    assert archive_window(decisions, at("2026-01-20"), 1) == 1
    assert archive_window(decisions, at("2026-01-20"), 2) == 2
    # 2026-01-12 and 2026-01-11 cannot be restored, but pgBackRest counts them.
    assert archive_window(decisions, at("2026-01-20"), 7) == 5
    assert archive_window(decisions, at("2026-01-20"), 99) == 6


def test_the_window_does_not_count_what_is_dropped() -> None:
    backups = daily("2026-01-01", 30)
    decisions = plan(backups, Policy(1, 4, 0), at("2026-01-30T12:00"))
    assert kept(decisions)[:3] == ["2026-01-30T02:00", "2026-01-25T02:00", "2026-01-18T02:00"]
    assert archive_window(decisions, at("2026-01-30T12:00"), 7) == 3


def test_an_upgrade_of_postgresql_takes_no_way_back() -> None:
    """The newer cluster's first backup is of the same day, week and month as the older one's."""
    older = [backup(f"2026-07-0{day}T02:00", cluster="17-1") for day in (7, 8)]
    newer = [backup("2026-07-08T10:00", cluster="18-2"), backup("2026-07-08T18:00", cluster="18-2")]
    policy = Policy(1, 1, 1, any_second_days=7)
    assert reasons(plan([*older, *newer], policy, at("2026-07-08T18:00"))) == {
        "2026-07-08T18:00": (
            "newest good one",
            "daily 2026-07-08",
            "weekly 2026-W28",
            "monthly 2026-07",
        ),
        "2026-07-08T10:00": ("every second of 7 days",),
        "2026-07-08T02:00": ("daily 2026-07-08", "weekly 2026-W28", "monthly 2026-07"),
        "2026-07-07T02:00": ("every second of 7 days",),
    }
    # Day by day, until the days of every second are all the newer one's.
    repository = Repository(Policy(3, 0, 0, any_second_days=7))
    for one in [*older, *newer, *(backup(f"2026-07-{d:02}T02:00", cluster="18-2")
                                  for d in range(9, 16))]:  # fmt: skip
        repository.add(one)
    assert repository.ids == [
        "2026-07-15T02:00",
        "2026-07-14T02:00",
        "2026-07-13T02:00",
        "2026-07-08T10:00",
        "2026-07-07T02:00",
    ]
    repository.add(backup("2026-07-16T02:00", cluster="18-2"))
    assert repository.ids[3:] == ["2026-07-13T02:00", "2026-07-08T10:00"]


def test_few_slots_do_not_shorten_the_days_of_every_second() -> None:
    repository = Repository(Policy(1, 0, 0, any_second_days=7))
    for one in daily("2026-01-01", 5):
        repository.add(one)
    assert repository.ids == ["2026-01-05T02:00", "2026-01-01T02:00"]
    for one in daily("2026-01-06", 5):
        repository.add(one)
    # None from before the third is left but the first: from it, for now, leads the WAL.
    assert repository.ids == ["2026-01-10T02:00", "2026-01-07T02:00", "2026-01-01T02:00"]
    for one in daily("2026-01-11", 60):
        repository.add(one)
        assert at(repository.ids[-1]) >= one.taken_at - 2 * DAY * 7, "WAL does not pile up"
