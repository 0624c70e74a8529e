//! Whom a sweep misses has not left for that alone: not while a part of it is missing, nor while the CRM may only hide them.

use std::sync::Arc;

use propsync::domain::departure::{Evidence, Fate};
use propsync::domain::pass::PassKind;
use propsync::sync::engine::OnDelete;

use crate::scenarios::departures::{HOUR, Story};
use crate::scenarios::restarts::die_after;
use crate::support::{in_virtual_time, person, sync};

#[test]
fn a_sweep_that_was_cut_off_finds_at_its_end_whom_none_of_its_parts_has_met() {
    in_virtual_time(async {
        let mut story = Story::new(OnDelete::Delete);
        Arc::get_mut(&mut story.book).expect("nobody else reads it").page = 2;
        let people = story.people(6).await;
        story.book.purge(&people[1]);
        // What one process has read, the next does not read again, and knows to have been there.
        story.firm.wait(25 * HOUR).await;
        for polls in 1.. {
            let parts = story.start().await;
            drop(die_after(polls, sync(&parts)).await);
            let cursor = parts.engine.ledger.cursor("salesforce", PassKind::Sweep).await;
            let resumes = cursor.expect("a cursor").window.is_some_and(|window| window.resume.is_some());
            parts.engine.ledger.close().await;
            if resumes {
                break;
            }
            assert!(polls < 400, "no sweep was ever cut off in the middle");
        }
        story.book.fetched.lock().expect("a list").clear();
        let report = story.sync_after(0).await;
        assert_eq!((report.gone.deleted, story.firm.contacts().len()), (1, 5), "{report:?}");
        assert_eq!(story.fate(&people[1]).await, Some((Fate::Deleted, Evidence::Sweep)));
        assert_eq!(*story.book.fetched.lock().expect("a list"), [people[1].id.clone()], "who was met is not asked for");
        story.book.purge(&people[0]);
        let report = story.sync_after(25).await;
        assert_eq!(
            (report.gone.deleted, story.firm.contacts().len()),
            (1, 4),
            "the next sweep begins anew: {report:?}"
        );
    });
}

#[test]
fn who_enters_or_is_back_while_a_sweep_is_cut_off_has_not_left() {
    in_virtual_time(async {
        for polls in (20..).step_by(7) {
            let mut story = Story::new(OnDelete::Delete);
            Arc::get_mut(&mut story.book).expect("nobody else reads it").page = 2;
            let people = story.people(5).await;
            story.book.delete(&people[0]);
            story.sync_after(1).await;
            let kept = story.firm.contacts().len();
            story.firm.wait(25 * HOUR).await;
            let parts = story.start().await;
            let finished = die_after(polls, sync(&parts)).await.is_some();
            parts.engine.ledger.close().await;
            story.book.add(&person("Bo", "Lund", "bo@lund.example"));
            story.book.undelete(&people[1]);
            let report = story.sync_after(1).await;
            assert_eq!(report.gone.gone(), 0, "dead after {polls} polls: {report:?}");
            assert_eq!((kept, story.firm.contacts().len()), (4, 5), "dead after {polls} polls");
            if finished {
                break;
            }
            assert!(polls < 2_000, "the sync never ended");
        }
    });
}

#[test]
fn who_is_only_hidden_stays_and_stands_in_nobodys_way() {
    in_virtual_time(async {
        for on_delete in [OnDelete::Keep, OnDelete::Tag, OnDelete::Delete] {
            let mut story = Story::new(on_delete);
            Arc::get_mut(&mut story.book).expect("nobody else reads it").tells_hidden = true;
            let people = story.people(30).await;
            story.book.hide(true);
            let before = story.firm.sandbox.propstreet.contacts();
            // More are missing than the guard lets go, and all of them are only hidden.
            for _ in 0..2 {
                let report = story.sync_after(25).await;
                assert!(report.gone.gone() == 0 && report.is_green(), "{report:?}");
                assert_eq!(story.fate(&people[0]).await, None);
            }
            assert_eq!(story.firm.sandbox.propstreet.contacts(), before);
            let history = story.firm.history(&format!("salesforce:{}", people[0].id)).await;
            assert_eq!(history.matches("hidden").count(), 1, "told once: {history}");
            // One of them is deleted besides.
            story.book.purge(&people[1]);
            let report = story.sync_after(25).await;
            assert!(report.gone.gone() == 1 && report.gone.held == 0 && report.is_green(), "{report:?}");
            let deleted = usize::from(on_delete == OnDelete::Delete);
            assert_eq!(story.firm.contacts().len(), 30 - deleted);
            // Shown again, they are as they were.
            story.book.hide(false);
            let report = story.sync_after(25).await;
            assert_eq!((report.gone.gone(), report.counts.unchanged), (0, 29), "{report:?}");
        }
    });
}

#[test]
fn whom_a_listing_passes_over_has_not_left_if_it_is_shown_when_asked_for() {
    in_virtual_time(async {
        let story = Story::new(OnDelete::Delete);
        let people = story.people(3).await;
        story.book.pass_over(&people[1]);
        let report = story.sync_after(25).await;
        assert_eq!((report.gone.gone(), report.counts.unchanged, story.firm.contacts().len()), (0, 3, 3), "{report:?}");
    });
}
