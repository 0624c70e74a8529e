//! Whom the filter keeps out, who comes back, and the tags that go with it.

use std::time::Duration;

use propsync::domain::departure::{Evidence, FILTERED_TAG, Fate, TAG};
use propsync::domain::failure::Reason;
use propsync::sandbox::faults::{Fault, Rule};
use propsync::sandbox::propstreet::contact::ExternalRef;
use propsync::sync::engine::OnDelete;

use crate::scenarios::answers::creating;
use crate::scenarios::departures::{HOUR, Story};
use crate::scenarios::restarts::die_after;
use crate::support::{in_virtual_time, person, sync};

const NO_TESTS: &str = "filter = \"FirstName != 'Test'\"\n";

fn story(on_delete: OnDelete, policies: &str) -> Story {
    let mut story = Story::new(on_delete);
    story.firm.extra.insert("salesforce", format!("{NO_TESTS}{policies}"));
    story
}

impl Story {
    fn name(&self, reference: &ExternalRef, first: &str) {
        self.book.edit(reference, |person| person.first = first.to_owned());
    }

    fn tags(&self, reference: &ExternalRef) -> Vec<String> {
        let mut tags = self.firm.sandbox.propstreet.find("salesforce", &reference.id).remove(0).tags;
        tags.sort();
        tags
    }

    fn writes(&self) -> u64 {
        let writes = self.firm.sandbox.propstreet.writes();
        writes.created + writes.updated + writes.unchanged + writes.deleted
    }
}

#[test]
fn whom_the_filter_keeps_out_gets_no_contact_until_it_lets_them_in() {
    in_virtual_time(async {
        let story = story(OnDelete::Keep, "on_filtered = \"delete\"\n");
        let out = story.book.add(&person("Test", "Berg", "t@berg.example"));
        let report = story.sync_after(1).await;
        assert_eq!((report.counts.skipped, story.writes()), (1, 0), "{report:?}");
        assert_eq!(story.firm.ending(&out).await, "skipped: filtered");
        let asked = story.book.fetched.lock().expect("a list").len();
        let report = story.sync_after(25).await;
        assert_eq!((report.gone.gone(), story.writes()), (0, 0), "{report:?}");
        assert_eq!(story.book.fetched.lock().expect("a list").len(), asked, "known by its stamp, a sweep does not ask");
        story.name(&out, "Tess");
        let report = story.sync_after(1).await;
        assert_eq!((report.counts.created, story.firm.contacts().len()), (1, 1), "{report:?}");
        let history = story.firm.history(&format!("salesforce:{}", out.id)).await;
        assert!(history.contains("skipped: filtered") && history.contains("the filter lets it in again"), "{history}");
    });
}

#[test]
fn who_has_a_contact_is_left_tagged_or_deleted_as_configured_and_comes_back() {
    in_virtual_time(async {
        for (on_filtered, fate) in [("keep", None), ("tag", Some(Fate::Tagged)), ("delete", Some(Fate::Deleted))] {
            let story = story(OnDelete::Keep, &format!("on_filtered = \"{on_filtered}\"\non_change = \"update\"\n"));
            let people = story.people(2).await;
            let before = story.writes();
            story.name(&people[0], "Test");
            let report = story.sync_after(1).await;
            assert_eq!(story.fate(&people[0]).await, fate.map(|fate| (fate, Evidence::Filter)), "{report:?}");
            assert_eq!(story.firm.ending(&people[0]).await, "skipped: filtered", "{on_filtered}");
            assert_eq!(story.writes() - before, u64::from(on_filtered != "keep"), "{on_filtered}");
            // What changes meanwhile is not followed, and nobody leaves twice.
            story.book.edit(&people[0], |person| person.last = "Lind".to_owned());
            let report = story.sync_after(25).await;
            assert_eq!((report.gone.gone(), report.is_green()), (0, true), "{report:?}");
            assert_eq!(story.writes() - before, u64::from(on_filtered != "keep"), "{on_filtered}");
            story.name(&people[0], "Tess");
            let report = story.sync_after(1).await;
            if on_filtered == "delete" {
                assert_eq!(story.firm.contacts().len(), 1, "what was deleted stays deleted");
                assert_eq!(story.firm.ending(&people[0]).await, "skipped: deleted_in_propstreet");
                continue;
            }
            assert_eq!((report.counts.updated, report.counts.balanced()), (1, true), "{on_filtered}: {report:?}");
            let contact = story.firm.sandbox.propstreet.find("salesforce", &people[0].id).remove(0);
            assert_eq!((contact.first_name.as_deref(), contact.last_name.as_deref()), (Some("Tess"), Some("Lind")));
            assert!(contact.tags.is_empty(), "{on_filtered}: {:?}", contact.tags);
            let settled = story.writes();
            story.sync_after(1).await;
            story.sync_after(25).await;
            assert_eq!(story.writes(), settled, "{on_filtered}: nothing more to write");
        }
    });
}

#[test]
fn a_filter_that_keeps_out_many_at_once_waits_for_a_persons_word() {
    in_virtual_time(async {
        let story = story(OnDelete::Keep, "on_filtered = \"delete\"\n");
        let people = story.people(20).await;
        people[..12].iter().for_each(|person| story.name(person, "Test"));
        for hours in [1, 1, 25] {
            let report = story.sync_after(hours).await;
            assert_eq!((report.gone.held, story.firm.contacts().len()), (12, 20), "{report:?}");
            assert!(!report.is_green() && report.guard.is_some_and(|guard| guard.needed == 12));
        }
        // Judged again before they go: three are let in by now.
        people[..3].iter().for_each(|person| story.name(person, "Anna"));
        let report = story.sync_after(1).await;
        assert_eq!((report.gone.deleted, report.gone.held, story.firm.contacts().len()), (9, 0, 11), "{report:?}");
    });
}

#[test]
fn whom_a_filter_held_and_the_crm_shows_no_longer_does_not_leave_on_the_filters_old_word() {
    in_virtual_time(async {
        let mut story = story(OnDelete::Keep, "on_filtered = \"delete\"\n");
        let people = story.people(20).await;
        people[..12].iter().for_each(|person| story.name(person, "Test"));
        assert_eq!(story.sync_after(1).await.gone.held, 12);
        story.guard = Some(50);
        story.book.hide(true);
        let report = story.sync_after(1).await;
        assert_eq!((report.gone.deleted, story.firm.contacts().len()), (0, 20), "{report:?}");
        story.book.hide(false);
        let report = story.sync_after(1).await;
        assert_eq!((report.gone.deleted, story.firm.contacts().len()), (12, 8), "{report:?}");
    });
}

#[test]
fn a_changed_filter_looks_again_at_those_it_kept_out_and_at_others_when_they_change() {
    in_virtual_time(async {
        let mut story = story(OnDelete::Keep, "on_filtered = \"tag\"\n");
        let out = story.book.add(&person("Test", "Berg", "t@berg.example"));
        let people = story.people(2).await;
        let asked = story.firm.contacts().len();
        assert_eq!(asked, 2);
        story.firm.extra.insert("salesforce", "filter = \"FirstName != 'Anna'\"\non_filtered = \"tag\"\n".to_owned());
        let report = story.sync_after(1).await;
        assert_eq!((report.counts.created, story.firm.ending(&out).await.as_str()), (1, "created"), "{report:?}");
        assert!(people.iter().all(|person| story.tags(person).is_empty()), "their stamps stand still");
        story.book.edit(&people[0], |person| person.last = "Lind".to_owned());
        let report = story.sync_after(1).await;
        assert_eq!((report.gone.tagged, story.tags(&people[0]).len()), (1, 1), "{report:?}");
        assert!(story.tags(&people[1]).is_empty());
        // Without any filter whoever was kept out is back, the tag taken off.
        story.firm.extra.clear();
        let report = story.sync_after(1).await;
        assert_eq!((report.gone.gone(), story.tags(&people[0]).len()), (0, 0), "{report:?}");
    });
}

#[test]
fn a_filter_that_cannot_be_answered_lets_nobody_in_and_nobody_out() {
    in_virtual_time(async {
        for on_change in ["ignore", "update"] {
            let mut story = Story::new(OnDelete::Keep);
            let people = story.people(1).await;
            let writes = story.writes();
            let unknown = format!("filter = \"not Opted__c\"\non_filtered = \"delete\"\non_change = \"{on_change}\"\n");
            story.firm.extra.insert("salesforce", unknown);
            let new = story.book.add(&person("Bo", "Lund", "bo@lund.example"));
            story.book.edit(&people[0], |person| person.last = "Lind".to_owned());
            story.sync_after(1).await;
            assert_eq!((story.writes(), story.firm.contacts().len()), (writes, 1), "{on_change}");
            let complaint = story.firm.row(&new).await.and_then(|row| row.complaint).expect("put aside");
            assert_eq!((complaint.reason, complaint.detail.contains("Opted__c")), (Reason::MappingFailed, true));
            assert_eq!(story.fate(&people[0]).await, None);
        }
    });
}

#[test]
fn a_create_under_way_is_looked_up_before_the_filter_speaks() {
    in_virtual_time(async {
        let story = story(OnDelete::Keep, "on_filtered = \"delete\"\n");
        let anna = story.book.add(&person("Anna", "Berg", "anna@berg.example"));
        story.firm.sandbox.propstreet.faults().add(creating(Fault::Late(Duration::from_secs(30))).times(1));
        story.firm.wait(HOUR).await;
        let parts = story.start().await;
        assert!(tokio::time::timeout(Duration::from_secs(20), sync(&parts)).await.is_err());
        drop(parts);
        story.name(&anna, "Test");
        story.sync_after(1).await;
        story.sync_after(1).await;
        assert_eq!(story.fate(&anna).await, Some((Fate::Deleted, Evidence::Filter)));
        assert!(story.firm.contacts().is_empty());
    });
}

#[test]
fn whom_the_filter_kept_out_may_leave_the_crm_as_well() {
    in_virtual_time(async {
        for swept in [false, true] {
            let story = story(OnDelete::Delete, "on_filtered = \"tag\"\n");
            let people = story.people(2).await;
            story.name(&people[0], "Test");
            assert_eq!(story.sync_after(1).await.gone.tagged, 1);
            if swept {
                story.book.purge(&people[0]);
            } else {
                story.book.delete(&people[0]);
            }
            let report = story.sync_after(25).await;
            assert_eq!((report.gone.deleted, story.firm.contacts().len()), (1, 1), "{swept}: {report:?}");
        }
    });
}

#[test]
fn who_is_restored_loses_the_tag_once_whatever_the_weather() {
    in_virtual_time(async {
        for weather in ["fair", "stale", "lost", "taken off by hand"] {
            let story = Story::new(OnDelete::Tag);
            let people = story.people(1).await;
            let propstreet = &story.firm.sandbox.propstreet;
            let contact = propstreet.find("salesforce", &people[0].id)[0].id;
            propstreet.edit(contact, |contact| contact.tags = vec!["vip".to_owned()]);
            story.book.delete(&people[0]);
            story.sync_after(1).await;
            assert_eq!(story.tags(&people[0]), [TAG, "vip"]);
            story.book.undelete(&people[0]);
            let patch = |fault| Rule::new(fault).on(http::Method::PATCH).times(1);
            match weather {
                "stale" => propstreet.faults().add(patch(Fault::Status { code: 412, retry_after: None })),
                "lost" => propstreet.faults().add(patch(Fault::Garbage)),
                "taken off by hand" => drop(propstreet.edit(contact, |contact| contact.tags.retain(|tag| tag != TAG))),
                _ => {}
            }
            let report = story.sync_after(1).await;
            let written = u64::from(weather != "taken off by hand");
            assert_eq!(
                (report.counts.updated, report.counts.unchanged),
                (written, 1 - written),
                "{weather}: {report:?}"
            );
            assert_eq!(story.tags(&people[0]), ["vip"], "{weather}");
            let writes = story.writes();
            for hours in [1, 25] {
                let report = story.sync_after(hours).await;
                assert_eq!((report.counts.updated, story.writes()), (0, writes), "{weather}: {report:?}");
            }
        }
    });
}

#[test]
fn a_tag_that_dies_on_its_way_off_is_off_in_the_end() {
    in_virtual_time(async {
        for polls in (1..).step_by(3) {
            let story = Story::new(OnDelete::Tag);
            let people = story.people(1).await;
            story.book.delete(&people[0]);
            story.sync_after(1).await;
            story.book.undelete(&people[0]);
            story.firm.wait(HOUR).await;
            let parts = story.start().await;
            let finished = die_after(polls, sync(&parts)).await.is_some();
            drop(parts);
            story.sync_after(1).await;
            story.sync_after(1).await;
            let row = story.firm.row(&people[0]).await.expect("a row");
            assert!(story.tags(&people[0]).is_empty() && !row.owes_tag && row.gone.is_none(), "{polls} polls: {row:?}");
            if finished {
                break;
            }
            assert!(polls < 400, "the sync never ended");
        }
    });
}

#[test]
fn who_turns_out_to_be_merged_loses_the_tag_on_the_survivors_contact() {
    in_virtual_time(async {
        let story = Story::new(OnDelete::Tag);
        let people = story.people(1).await;
        story.book.delete(&people[0]);
        story.sync_after(1).await;
        assert_eq!(story.tags(&people[0]), [TAG]);
        let survivor = story.book.add(&person("Anna", "Berg0", ""));
        story.book.merge(&survivor, &people[0]);
        story.sync_after(1).await;
        story.sync_after(1).await;
        assert_eq!(story.firm.contacts().len(), 1, "one person");
        assert!(story.tags(&survivor).is_empty(), "{:?}", story.tags(&survivor));
    });
}

#[test]
fn a_contact_that_a_person_changed_stays_though_we_wrote_on_top_of_it() {
    in_virtual_time(async {
        for edited in [false, true] {
            let tagging = Story::new(OnDelete::Tag);
            let people = tagging.people(1).await;
            let propstreet = &tagging.firm.sandbox.propstreet;
            let contact = propstreet.find("salesforce", &people[0].id)[0].id;
            if edited {
                propstreet.edit(contact, |contact| contact.strategy = Some("offices in Malmö".to_owned()));
            }
            tagging.book.delete(&people[0]);
            tagging.sync_after(1).await;
            tagging.book.undelete(&people[0]);
            tagging.sync_after(1).await;
            assert!(tagging.tags(&people[0]).is_empty());
            // The operator changes his mind, and the record is deleted again.
            let deleting = tagging.with_on_delete(OnDelete::Delete);
            deleting.book.delete(&people[0]);
            let report = deleting.sync_after(1).await;
            let fate = if edited { Fate::Kept } else { Fate::Deleted };
            assert_eq!((report.gone.of(fate), deleting.firm.contacts().len()), (1, usize::from(edited)), "{report:?}");
        }
    });
}

#[test]
fn our_own_changes_are_no_persons_and_do_not_keep_a_contact() {
    in_virtual_time(async {
        for edited in [false, true] {
            let mut story = Story::new(OnDelete::Delete);
            story.firm.extra.insert("salesforce", "on_change = \"update\"\n".to_owned());
            let people = story.people(1).await;
            let propstreet = &story.firm.sandbox.propstreet;
            let contact = propstreet.find("salesforce", &people[0].id)[0].id;
            if edited {
                propstreet.edit(contact, |contact| contact.strategy = Some("offices in Malmö".to_owned()));
            }
            story.book.edit(&people[0], |person| person.last = "Lind".to_owned());
            let report = story.sync_after(1).await;
            assert_eq!(report.counts.updated, 1, "{report:?}");
            story.book.delete(&people[0]);
            let report = story.sync_after(1).await;
            let fate = if edited { Fate::Kept } else { Fate::Deleted };
            assert_eq!((report.gone.of(fate), report.gone.gone()), (1, 1), "{edited}: {report:?}");
        }
    });
}

#[test]
fn explain_says_by_which_expression_and_not_by_which_value() {
    in_virtual_time(async {
        let story = story(OnDelete::Keep, "on_filtered = \"tag\"\n");
        let people = story.people(1).await;
        story.name(&people[0], "Test");
        story.sync_after(1).await;
        assert_eq!(story.tags(&people[0]), [FILTERED_TAG]);
        let history = story.firm.history(&format!("salesforce:{}", people[0].id)).await;
        assert!(history.contains("filtered: tagged, as the filter keeps it out"), "{history}");
        assert!(!history.contains("Test"), "{history}");
    });
}
