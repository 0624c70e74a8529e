//! What may stand in Propstreet, by the documented rules alone. It shares no code with the engine, and knows no
//! Propstreet and no CRM: it is told in order what the CRMs showed and what people did, and works out every value that
//! the rules leave open. When a write arrives is not known, so each may arrive at any moment between the change and
//! the next time all is settled; an order that nobody can know makes two values right, and one that is known makes
//! one.

use std::collections::BTreeSet;

/// Who has the last word on a field.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Owner {
    Crm,
    Propstreet,
    /// Of a tag alone.
    Union,
}

/// What was configured.
#[derive(Debug, Clone)]
pub struct Rules {
    /// Whether contacts follow their records.
    pub update: bool,
    pub clear_empty: bool,
    /// By source: its place in the precedence.
    pub rank: [usize; 3],
    pub on_delete: Fate,
    pub on_filtered: Fate,
    /// Whether a list that is written replaces the one there is: else no tag can be taken away.
    pub arrays_replace: bool,
}

/// What becomes of a contact whose record leaves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fate {
    Keep,
    Tag,
    Delete,
}

/// A text, or one tag that is there or not.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    Text,
    Tag,
    /// A text that is written by calls of its own: whoever is joined under `ignore` may have got it or not.
    Employment,
}

/// A field as one record shows it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct View {
    pub value: Option<String>,
    /// Equal for equal records.
    pub content: u64,
    /// Equal for records that differ only in what may not be mapped.
    pub mapped: u64,
}

/// How a record left.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Leave {
    Deleted,
    Filtered,
    /// Into another record.
    Merged,
}

/// Something that happened, as far as one field of one contact is concerned. Records are known by their place in the
/// list of those on the contact.
#[derive(Debug, Clone)]
pub enum Event {
    /// A record shows this from now on.
    Shows(usize, View),
    /// A record is not shown any longer.
    Leaves(usize, Leave),
    /// Somebody set the field in Propstreet.
    Set(Option<String>),
    /// Somebody changed something else of the contact there, or perhaps did.
    Touched { surely: bool },
    /// Somebody deleted it there.
    Erased,
    /// Whether writes may be lost, and processes die, from now on.
    Foul(bool),
    /// All that was changed has arrived.
    Settled,
}

/// Whether and with what the contact stands there in the end.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct End {
    pub alive: bool,
    pub value: Option<String>,
}

#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct State {
    exists: bool,
    alive: bool,
    /// Whether somebody touched the contact since we last wrote.
    touched: bool,
    value: Option<String>,
    /// Whose value it is; `None`: a person's, or nobody's.
    writer: Option<usize>,
    records: Vec<Slot>,
}

#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Default)]
struct Slot {
    /// Which of its views arrived last.
    arrived: Option<usize>,
    /// Whether it has a value there.
    fed: bool,
    /// Whether it is to be delivered again although it did not change.
    again: bool,
    /// Its leaving was seen to.
    left: bool,
}

/// One field of one contact.
pub struct Field<'a> {
    pub rules: &'a Rules,
    pub owner: Owner,
    pub kind: Kind,
    /// By record: the source it comes from.
    pub sources: &'a [usize],
    /// What stood there before any of the records came to it, if it was there.
    pub before: Option<Option<String>>,
}

/// What is known at one moment.
struct Known<'a> {
    field: &'a Field<'a>,
    foul: bool,
    views: Vec<Vec<View>>,
    /// By record: the first view that may still arrive.
    oldest: Vec<usize>,
    left: Vec<Option<Leave>>,
}

impl Field<'_> {
    /// Every end that the rules allow. None: what happened cannot have happened.
    pub fn ends(&self, events: &[Event]) -> BTreeSet<End> {
        let count = self.sources.len();
        let mut known = Known {
            field: self,
            foul: false,
            views: vec![Vec::new(); count],
            oldest: vec![0; count],
            left: vec![None; count],
        };
        let first = State {
            exists: self.before.is_some(),
            alive: true,
            touched: self.before.is_some(),
            value: self.before.clone().flatten(),
            writer: None,
            records: vec![Slot::default(); count],
        };
        let mut states = BTreeSet::from([first]);
        for event in events {
            states = known.closure(states);
            known.learn(event);
            states = states.into_iter().flat_map(|state| known.after(state, event)).collect();
        }
        known
            .closure(states)
            .into_iter()
            .filter(|state| state.exists)
            .map(|s| End { alive: s.alive, value: s.value })
            .collect()
    }
}

impl Known<'_> {
    fn learn(&mut self, event: &Event) {
        match event {
            Event::Shows(record, view) => {
                self.views[*record].push(view.clone());
                self.left[*record] = None;
            }
            Event::Leaves(record, how) => self.left[*record] = Some(*how),
            Event::Foul(foul) => self.foul = *foul,
            Event::Settled => {
                for (record, oldest) in self.oldest.iter_mut().enumerate() {
                    // Nothing that was read before is still under way.
                    let shown = self.views[record].len();
                    *oldest = if self.left[record].is_some() { shown } else { shown.saturating_sub(1) };
                }
            }
            _ => {}
        }
    }

    fn after(&self, mut state: State, event: &Event) -> Vec<State> {
        match event {
            Event::Shows(record, _) => {
                let slot = &mut state.records[*record];
                slot.again |= slot.left;
                slot.left = false;
            }
            Event::Set(value) if state.exists && state.alive => {
                (state.value, state.writer, state.touched) = (value.clone(), None, true);
            }
            Event::Touched { surely: true } if !state.exists || !state.alive => return Vec::new(),
            Event::Touched { surely } if state.alive => {
                let untouched = state.clone();
                state.touched = true;
                return if *surely { vec![state] } else { vec![state, untouched] };
            }
            Event::Set(_) => return Vec::new(),
            Event::Erased if !state.exists => return Vec::new(),
            Event::Erased => state.alive = false,
            Event::Settled if !self.is_settled(&state) => return Vec::new(),
            _ => {}
        }
        vec![state]
    }

    /// Whether nothing is left to do.
    fn is_settled(&self, state: &State) -> bool {
        let done = |(record, slot): (usize, &Slot)| match (self.left[record], self.views[record].last()) {
            (Some(_), _) => slot.left,
            (None, Some(now)) => {
                let arrived = slot.arrived.map(|at| &self.views[record][at]);
                !slot.again && arrived.is_some_and(|arrived| arrived.content == now.content)
            }
            (None, None) => true,
        };
        !state.alive || state.records.iter().enumerate().all(done)
    }

    /// All that may have happened meanwhile.
    fn closure(&self, states: BTreeSet<State>) -> BTreeSet<State> {
        let mut all = states.clone();
        let mut open: Vec<State> = states.into_iter().collect();
        while let Some(state) = open.pop() {
            for next in self.moves(&state) {
                if all.insert(next.clone()) {
                    open.push(next);
                }
            }
        }
        all
    }

    fn moves(&self, state: &State) -> Vec<State> {
        if !state.alive {
            return Vec::new();
        }
        let mut moves = Vec::new();
        for (record, slot) in state.records.iter().enumerate() {
            let next = slot.arrived.map_or(0, |arrived| if slot.again { arrived } else { arrived + 1 });
            for view in next.max(self.oldest[record])..self.views[record].len() {
                for written in self.deliver(state, record, view) {
                    if self.foul && self.field.kind == Kind::Employment {
                        // The tenant takes the contact, and no companies today.
                        moves.push(State { exists: true, ..state.clone() });
                    }
                    if self.foul {
                        // The write counts, and nobody here knows.
                        let mut unknown = written.clone();
                        unknown.records[record].arrived = slot.arrived;
                        unknown.records[record].again = slot.again;
                        unknown.touched = state.touched || state.exists;
                        moves.push(unknown);
                    }
                    moves.push(written);
                }
            }
            if let Some(how) = self.left[record].filter(|_| !slot.left) {
                moves.extend(self.leave(state, record, how));
            }
        }
        moves
    }

    /// A view of a record arrives.
    fn deliver(&self, state: &State, record: usize, at: usize) -> Vec<State> {
        let Known { field, views, .. } = self;
        let mut next = state.clone();
        let slot = &mut next.records[record];
        let (before, again, fed) = (slot.arrived.map(|arrived| &views[record][arrived]), slot.again, slot.fed);
        (slot.arrived, slot.again) = (Some(at), false);
        let view = &views[record][at];
        if !state.exists {
            (next.exists, next.touched, next.records[record].fed) = (true, false, view.value.is_some());
            (next.value, next.writer) = (view.value.clone(), view.value.as_ref().map(|_| record));
            return vec![next];
        }
        if !field.rules.update {
            // What is joined is left as it is; an employment may be brought, where there is none.
            let brought = field.kind == Kind::Employment && before.is_none() && state.value.is_none();
            let with = brought.then(|| State { value: view.value.clone(), writer: Some(record), ..next.clone() });
            return [next].into_iter().chain(with).collect();
        }
        if before.is_some_and(|before| before.content == view.content) && !again {
            return vec![next];
        }
        let mut written = self.write(&next, record, view.value.as_ref());
        // Whether anything had to be written at all, nobody knows.
        for state in written.clone() {
            written.push(State { touched: false, ..state });
        }
        // A field that another record has given up must be taken over.
        if before.is_some_and(|before| before.mapped == view.mapped) && (fed || view.value.is_none() || !again) {
            written.push(next);
        }
        written
    }

    /// The rules of a change.
    fn write(&self, state: &State, record: usize, value: Option<&String>) -> Vec<State> {
        let Field { rules, owner, kind, sources, .. } = self.field;
        let mut next = state.clone();
        let goes_before = |other: usize| rules.rank[sources[other]] < rules.rank[sources[record]];
        if *kind != Kind::Tag && (0..state.records.len()).any(|other| goes_before(other) && state.records[other].fed) {
            return vec![next];
        }
        let gave_up = state.records[record].fed && value.is_none();
        next.records[record].fed = value.is_some();
        if gave_up {
            again_for_others(&mut next, record);
        }
        let with =
            |value: Option<&String>| State { value: value.cloned(), writer: value.map(|_| record), ..next.clone() };
        let ours = state.writer == Some(record);
        let another_records = state.writer.is_some() && !ours;
        let (certain, possible) = match (owner, kind, value) {
            // Nothing differs, and from now on it is as much this record's.
            (_, _, Some(_)) if state.value.as_ref() == value && state.writer.is_some() => (true, true),
            (Owner::Crm | Owner::Union, _, Some(_)) => (true, true),
            (Owner::Propstreet, Kind::Tag, _) => (false, false),
            (Owner::Propstreet, _, Some(_)) => (ours || state.value.is_none(), another_records),
            (Owner::Union, _, None) => (false, false),
            // No list that merges lets go of a tag. One that another record gave as well may go with either.
            (Owner::Crm, Kind::Tag, None) => {
                (ours && rules.arrays_replace && !another_has(state, record), ours || another_records)
            }
            (_, _, None) => (ours && rules.clear_empty, another_records && rules.clear_empty),
        };
        match (certain, possible) {
            (true, _) => vec![with(value)],
            (false, true) => vec![with(value), next],
            (false, false) => vec![next],
        }
    }

    /// The leaving of a record is seen to.
    fn leave(&self, state: &State, record: usize, how: Leave) -> Vec<State> {
        let rules = self.field.rules;
        let fate = match how {
            Leave::Deleted => rules.on_delete,
            Leave::Filtered => rules.on_filtered,
            Leave::Merged => Fate::Keep,
        };
        let mut next = state.clone();
        next.records[record].left = true;
        let mut stays = Vec::new();
        if std::mem::take(&mut next.records[record].fed) {
            // Whether a record that is only kept out gives its fields up is not said.
            if how == Leave::Filtered && fate == Fate::Keep {
                let mut holds = next.clone();
                holds.records[record].fed = true;
                stays.push(holds);
            }
            again_for_others(&mut next, record);
        }
        let alone = state.records.iter().enumerate().all(|(other, slot)| {
            other == record || slot.left || self.views[other].is_empty() || self.left[other] == Some(Leave::Merged)
        });
        let reached = state.records[record].arrived.is_some();
        let dies = State { alive: false, ..next.clone() };
        match (fate, alone && state.exists) {
            (Fate::Delete, true) if self.field.before.is_some() || self.foul || !reached => stays.extend([dies, next]),
            (Fate::Delete, true) if !state.touched => return vec![dies],
            _ => stays.push(next),
        }
        stays
    }
}

/// The other records on the contact are to be read and delivered again.
fn again_for_others(state: &mut State, record: usize) {
    let others = state.records.iter_mut().enumerate().filter(|(other, _)| *other != record);
    others.filter(|(_, slot)| slot.arrived.is_some() && !slot.left).for_each(|(_, slot)| slot.again = true);
}

fn another_has(state: &State, record: usize) -> bool {
    state.records.iter().enumerate().any(|(other, slot)| other != record && slot.fed)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rules() -> Rules {
        Rules {
            update: true,
            clear_empty: false,
            rank: [0, 1, 2],
            on_delete: Fate::Keep,
            on_filtered: Fate::Keep,
            arrays_replace: true,
        }
    }

    /// A story in words: `0=a` record 0 shows a, `0=` it shows nothing, `0-` it is deleted, `p=x` a person sets x,
    /// `erase`, `|` all is settled, `storm` and `calm`.
    fn events(story: &str) -> Vec<Event> {
        let text = |text: &str| Some(text.to_owned()).filter(|text| !text.is_empty());
        let number = |text: &str| text.bytes().fold(7_u64, |sum, byte| sum * 31 + u64::from(byte));
        let event = |word: &str| match word {
            "|" => Event::Settled,
            "storm" => Event::Foul(true),
            "calm" => Event::Foul(false),
            "erase" => Event::Erased,
            "touch" => Event::Touched { surely: true },
            _ => match word.split_once('=') {
                Some(("p", value)) => Event::Set(text(value)),
                Some((record, value)) => {
                    let view = View { value: text(value), content: number(value), mapped: number(value) };
                    Event::Shows(record.parse().expect("a record"), view)
                }
                None => Event::Leaves(word.trim_end_matches('-').parse().expect("a record"), Leave::Deleted),
            },
        };
        story.split_whitespace().map(event).collect()
    }

    /// The ends in words: `a b`, `-` for nothing there, `dead`.
    fn ends(rules: &Rules, owner: Owner, kind: Kind, story: &str) -> String {
        let field = Field { rules, owner, kind, sources: &[0, 1], before: None };
        let end = |end: End| if end.alive { end.value.unwrap_or_else(|| "-".to_owned()) } else { "dead".to_owned() };
        let ends: BTreeSet<String> = field.ends(&events(story)).into_iter().map(end).collect();
        ends.into_iter().collect::<Vec<_>>().join(" ")
    }

    const CRMS: &str = "\
        0=a |                     a
        0=a | 0=b |               b
        0=a | 0=b                 a b
        0=a | p=x |               x
        0=a | p=x | 0=b |         b
        0=a | 0=b | p=x |         x
        0=a | 0=b p=x |           b x
        0=a | p=x 0=b |           b
        0=a | p=x 0=b 0=a |       a x
        0=a | 0= |                a
        0=a 0=b 0= |              - a b
        0=a | 1=b |               a
        1=b | 0=a |               a
        0=a | 1=b | 0= |          b
        0=a | 1=b | 0- |          b
        0=a | 1=b | 0- | 0=a |    a
        0=a | 0- |                a
        storm 0=a p=x |           a x
        0=a | erase |             dead
        p=x |                     ";

    #[test]
    fn a_field_of_the_crm_is_as_its_last_change_left_it() {
        for row in CRMS.lines() {
            let (story, expected) = row.trim_start().split_at(26);
            assert_eq!(ends(&rules(), Owner::Crm, Kind::Text, story), expected.trim(), "{story}");
        }
    }

    #[test]
    fn a_field_of_propstreet_follows_until_somebody_changes_it() {
        for (story, expected) in [
            ("0=a | 0=b |", "b"),
            ("0=a | p=x | 0=b |", "x"),
            ("0=a | p= | 0=b |", "b"),
            ("0=a | 1=b |", "a"),
            ("storm 0=a | 0=b p=x calm 0=c |", "x"),
        ] {
            assert_eq!(ends(&rules(), Owner::Propstreet, Kind::Text, story), expected, "{story}");
        }
    }

    #[test]
    fn under_ignore_a_contact_stays_as_it_was_made() {
        let rules = Rules { update: false, ..rules() };
        for (story, expected) in [("0=a | 0=b |", "a"), ("0=a 0=b |", "a b"), ("0=a | p=x | 0=b |", "x")] {
            assert_eq!(ends(&rules, Owner::Crm, Kind::Text, story), expected, "{story}");
        }
    }

    #[test]
    fn emptiness_is_carried_over_only_where_that_was_asked_for() {
        let rules = Rules { clear_empty: true, ..rules() };
        for (story, expected) in [("0=a | 0= |", "-"), ("0=a | p=x | 0= |", "x"), ("0=a | 1=b | 0= |", "b")] {
            assert_eq!(ends(&rules, Owner::Crm, Kind::Text, story), expected, "{story}");
        }
    }

    #[test]
    fn a_tag_goes_only_with_the_crm_that_owns_it() {
        let growing = Rules { arrays_replace: false, ..rules() };
        for (rules, owner, expected) in [
            (rules(), Owner::Union, "lead"),
            (rules(), Owner::Crm, "-"),
            (growing, Owner::Crm, "- lead"),
            (rules(), Owner::Propstreet, "lead"),
        ] {
            assert_eq!(ends(&rules, owner, Kind::Tag, "0=lead | 0= |"), expected, "{owner:?}");
        }
    }

    #[test]
    fn a_contact_dies_with_its_last_record_unless_somebody_touched_it() {
        let rules = Rules { on_delete: Fate::Delete, ..rules() };
        for (story, expected) in [
            ("0=a | 0- |", "dead"),
            ("0=a | 0- 0=b |", "b dead"),
            ("0=a | 0- | 0=b |", "dead"),
            ("0=a | 1=b | 0- |", "b"),
            ("0=a | 1=b | 0- 1- |", "dead"),
            ("0=a | touch 0- |", "a"),
            ("0=a | 0- touch |", "a"),
            ("0=a | touch 0=b | 0- |", "b dead"),
        ] {
            assert_eq!(ends(&rules, Owner::Crm, Kind::Text, story), expected, "{story}");
        }
    }
}
