//! The process ends in the middle of its work: by kill -9 at moments a seed draws, and by the signals of a polite end.

use std::collections::BTreeSet;

use crate::binary::stage::Stage;
use crate::binary::syncs::sum;

#[test]
fn killed_five_times_in_a_backfill_it_loses_nobody_and_doubles_nobody() {
    let stage = Stage::new(21, 70);
    stage.slow_creates();
    let mut dice = fastrand::Rng::with_seed(21);
    let mut moments = BTreeSet::new();
    while moments.len() < 5 {
        moments.insert(dice.usize(1..150));
    }
    for moment in moments {
        let mut sync = stage.start(&["sync", "--json"]);
        stage.until("enough contacts exist", || stage.contacts() >= moment);
        assert!(sync.child().try_wait().expect("a state").is_none(), "it ended before it could be killed");
        sync.kill();
        let killed = stage.end(sync);
        assert_eq!((killed.code, killed.stdout.as_str()), (None, ""));
    }
    stage.sandbox.propstreet.faults().clear();
    let taken_up = stage.run(&["sync", "--json"]);
    assert_eq!(sum(&taken_up.document(), "deferred"), 0, "{taken_up:?}");
    let report = stage.sandbox.check();
    assert!(report.is_clean(), "{report:?}");

    let before = stage.writes();
    let idle = stage.run(&["sync", "--json"]);
    assert_eq!(idle.code, Some(0), "{idle:?}");
    assert_eq!(stage.writes(), before);
}

#[test]
fn a_polite_signal_ends_it_with_the_shells_code_and_the_next_sync_completes() {
    for (signal, code) in [("TERM", 143), ("INT", 130)] {
        let stage = Stage::new(22, 60);
        stage.slow_creates();
        let sync = stage.start(&["sync", "--json"]);
        stage.until("contacts exist", || stage.contacts() >= 20);
        sync.signal(signal);
        let ended = stage.end(sync);
        assert_eq!(ended.code, Some(code), "{ended:?}");
        let document = ended.document();
        assert_eq!(document["error"]["code"], "interrupted");
        assert_eq!(document["error"]["remedy"], "run it again: it goes on where it stopped");
        assert!(!stage.sandbox.check().is_clean(), "{signal} came too late to mean anything");

        let status = stage.run(&["status"]);
        assert!(!status.stdout.contains("fine"), "a pass that was cut off is not fine: {status:?}");

        stage.sandbox.propstreet.faults().clear();
        let completed = stage.run(&["sync", "--json"]);
        assert!(completed.code == Some(0) || completed.code == Some(4), "{completed:?}");
        let report = stage.sandbox.check();
        assert!(report.is_clean(), "{report:?}");
    }
}
