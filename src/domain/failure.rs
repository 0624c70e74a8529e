//! What can go wrong, classed by who must act. Every case has a remedy; nothing here holds personal data.

use std::fmt;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::domain::identity::RefKey;

/// Trouble with an upstream: the call said nothing about the record itself.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Trouble {
    /// Time-out, reset, 5xx or garbage: a write may or may not have been applied.
    #[error("{0}: the answer was lost")]
    Ambiguous(String),
    /// The request certainly had no effect: refused connection, or a wait the server asked for that is too long to sit out.
    #[error("{cause}")]
    NotSent {
        /// What happened.
        cause: String,
        /// The server's own wish for the next try.
        retry_after: Option<Duration>,
    },
    /// Not sent, because what is left of a day's budget is kept for what goes first. It goes on by itself, and nobody
    /// need hear of it.
    #[error("{0}")]
    Spared(String),
    /// The breaker is open: the upstream as a whole is down.
    #[error("unreachable: {0}")]
    Outage(String),
    /// The credential was refused, also after one refresh.
    #[error("credential refused: {0}")]
    Credential(String),
    /// This credential may not do this.
    #[error("forbidden: {0}")]
    Forbidden(String),
    /// The answer is larger than what is taken at once: to be asked for in smaller parts.
    #[error("too large an answer: {0}")]
    TooLarge(String),
    /// The upstream answered in a way this program does not understand, or refuses our request as malformed.
    #[error("unexpected answer: {0}")]
    Protocol(String),
}

impl Trouble {
    /// The word used in JSON and in the ledger.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            Self::Ambiguous(_) => "answer_lost",
            Self::NotSent { .. } => "not_sent",
            Self::Spared(_) => "spared",
            Self::Outage(_) => "unreachable",
            Self::Credential(_) => "credential",
            Self::Forbidden(_) => "forbidden",
            Self::TooLarge(_) => "too_large",
            Self::Protocol(_) => "unexpected_answer",
        }
    }

    /// What the operator can do.
    #[must_use]
    pub fn remedy(&self) -> &'static str {
        match self {
            Self::Spared(_) => "nothing: it goes on by itself as the day rolls on",
            Self::NotSent { retry_after: Some(_), .. } => "nothing is lost: run it again when the pause is over",
            Self::Ambiguous(_) | Self::NotSent { .. } | Self::Outage(_) => {
                "nothing is lost: run it again when the upstream answers; check its status page and this machine's network"
            }
            Self::Credential(_) => {
                "mend what the message names, or else renew the secret named in the configuration; then run it again"
            }
            Self::Forbidden(_) => {
                "grant the permission or scope named above to the integration user; propsync doctor shows whether it is"
            }
            Self::TooLarge(_) => "map fewer or smaller fields of this CRM, or report it with this message",
            Self::Protocol(_) => {
                "check base_url and the API version with propsync doctor; if both are right, report it with this message"
            }
        }
    }

    /// Whether a later try may end otherwise without anyone acting.
    #[must_use]
    pub fn passes(&self) -> bool {
        matches!(self, Self::Ambiguous(_) | Self::NotSent { .. } | Self::Outage(_))
    }

    /// Whose fault it is: an answer that makes no sense is one that we do not understand.
    #[must_use]
    pub fn blame(&self) -> Blame {
        match self {
            Self::Protocol(_) | Self::TooLarge(_) => Blame::Program,
            _ => Blame::Environment,
        }
    }
}

/// Whose fault something is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Blame {
    /// Ours.
    Program,
    /// What was asked, or configured, does not go.
    Usage,
    /// The surroundings': an upstream, the disk, a permission, a credential.
    Environment,
}

/// Why a record needs a person. A closed list; the word is the contract.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Reason {
    /// A field breaks a limit of Propstreet.
    InvalidField,
    /// Neither name, e-mail nor phone.
    NoIdentifier,
    /// A mapping rule failed on this record.
    MappingFailed,
    /// Propstreet holds this ref on a contact whose name and e-mail are another person's.
    RefConflict,
    /// The e-mail belongs to a contact that is not provably this person.
    EmailTaken,
    /// The e-mail belongs to a contact that already stands for another record of this source.
    SameSourceEmail,
    /// The e-mail's owner was deleted in Propstreet.
    EmailHeldByDeleted,
    /// Propstreet says the e-mail is taken and shows no contact that has it.
    EmailTakenByUnknown,
    /// Propstreet answers 409 and nothing visible explains it.
    ConflictUnexplained,
    /// Address and name change at once on a contact that stands for other records too.
    IdentityChanged,
    /// The CRM merged two records whose contacts are two.
    MergedInCrm,
    /// Propstreet refuses the request as invalid.
    Rejected,
    /// Propstreet forbids this contact to us.
    Forbidden,
    /// Propstreet keeps failing on this record alone.
    UpstreamRefuses,
}

impl Reason {
    /// Every reason.
    pub const ALL: [Self; 14] = [
        Self::InvalidField,
        Self::NoIdentifier,
        Self::MappingFailed,
        Self::RefConflict,
        Self::EmailTaken,
        Self::SameSourceEmail,
        Self::EmailHeldByDeleted,
        Self::EmailTakenByUnknown,
        Self::ConflictUnexplained,
        Self::IdentityChanged,
        Self::MergedInCrm,
        Self::Rejected,
        Self::Forbidden,
        Self::UpstreamRefuses,
    ];

    /// The word used in the ledger and in output.
    #[must_use]
    pub fn code(self) -> &'static str {
        match self {
            Self::InvalidField => "invalid_field",
            Self::NoIdentifier => "no_identifier",
            Self::MappingFailed => "mapping_failed",
            Self::RefConflict => "ref_conflict",
            Self::EmailTaken => "email_taken",
            Self::SameSourceEmail => "same_source_email",
            Self::EmailHeldByDeleted => "email_held_by_deleted",
            Self::EmailTakenByUnknown => "email_taken_by_unknown",
            Self::ConflictUnexplained => "conflict_unexplained",
            Self::IdentityChanged => "identity_changed",
            Self::MergedInCrm => "merged_in_crm",
            Self::Rejected => "rejected",
            Self::Forbidden => "forbidden",
            Self::UpstreamRefuses => "upstream_refuses",
        }
    }

    /// The reason that word stands for.
    #[must_use]
    pub fn parse(code: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|r| r.code() == code)
    }

    /// Whether what stands in the way may go without anything changing that we can see.
    #[must_use]
    pub fn may_lift_unseen(self) -> bool {
        matches!(self, Self::EmailTakenByUnknown | Self::ConflictUnexplained | Self::Forbidden)
    }

    /// Whether another map may make another contact of the same record, one that can be sent.
    #[must_use]
    pub fn may_lie_in_the_map(self) -> bool {
        matches!(self, Self::InvalidField | Self::NoIdentifier | Self::MappingFailed | Self::Rejected)
    }

    /// Whose fault it is: the record's, theirs, or a matter for a decision.
    #[must_use]
    pub fn whose(self) -> &'static str {
        match self {
            Self::InvalidField | Self::NoIdentifier => "the record's",
            Self::MappingFailed => "the mapping's",
            Self::RefConflict
            | Self::EmailTaken
            | Self::SameSourceEmail
            | Self::EmailHeldByDeleted
            | Self::IdentityChanged
            | Self::MergedInCrm => "nobody's: it needs a decision",
            Self::EmailTakenByUnknown
            | Self::ConflictUnexplained
            | Self::Rejected
            | Self::Forbidden
            | Self::UpstreamRefuses => "Propstreet's answer",
        }
    }

    /// What to do about it.
    #[must_use]
    pub fn remedy(self) -> &'static str {
        match self {
            Self::InvalidField => "correct the field in the CRM; it is tried again at its next change",
            Self::NoIdentifier => "give the person a name, an e-mail or a phone in the CRM",
            Self::MappingFailed => "correct the rule under [sources.NAME.map] or the field in the CRM",
            Self::RefConflict => {
                "compare both people; correct one of them, or take the reference off the contact: propsync quarantine resolve \
                 NS:ID --detach"
            }
            Self::EmailTaken => {
                "compare both people; the same: propsync quarantine resolve NS:ID --link; another: give one of them another \
                 address, or resolve with --create-without-email"
            }
            Self::SameSourceEmail => {
                "two records of this CRM share the address: merge them there, correct one address, or propsync quarantine \
                 resolve NS:ID --create-without-email"
            }
            Self::EmailHeldByDeleted => {
                "restore the contact in Propstreet, give the person another address in the CRM, or propsync quarantine resolve \
                 NS:ID --create-without-email"
            }
            Self::EmailTakenByUnknown => {
                "look for the address in Propstreet as an administrator, a contact hidden from this token holds it; or propsync \
                 quarantine resolve NS:ID --create-without-email"
            }
            Self::ConflictUnexplained => {
                "look for the reference in Propstreet as an administrator; a contact hidden from this token holds it"
            }
            Self::IdentityChanged => {
                "if it is still the same person, correct the name in Propstreet; if it is another: propsync quarantine resolve \
                 NS:ID --detach"
            }
            Self::MergedInCrm => "merge the two contacts in Propstreet by hand, or delete one of them there",
            Self::Rejected => "correct the field that Propstreet names, in the CRM",
            Self::Forbidden => "give the token's user access to this contact in Propstreet",
            Self::UpstreamRefuses => {
                "ask Propstreet's support with the details shown; it is tried again at its next change"
            }
        }
    }
}

impl Reason {
    /// What to do about this record, with its reference where a command takes it. One that has a contact cannot be
    /// linked to another.
    #[must_use]
    pub fn remedy_of(self, reference: &RefKey, has_contact: bool) -> String {
        let remedy = match (self, has_contact) {
            (Self::EmailTaken, true) => {
                "compare both people; the same: merge the two contacts in Propstreet by hand; another: give one of them another \
                 address in the CRM, or go on without it: propsync quarantine resolve NS:ID --create-without-email"
            }
            _ => self.remedy(),
        };
        remedy.replace("NS:ID", &reference.to_string())
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.code())
    }
}

/// A record that needs a person, with what that person must know. No personal data: fields by name, values by class.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Complaint {
    /// The code.
    pub reason: Reason,
    /// What exactly: the field and its class of value, or the upstream's words with addresses and phones removed.
    pub detail: String,
    /// The Propstreet contact that stands in the way, if one does; its next change is a cause to try again.
    pub blocker: Option<String>,
}

impl Complaint {
    /// A complaint without a blocking contact.
    pub fn new(reason: Reason, detail: impl Into<String>) -> Self {
        Self { reason, detail: detail.into(), blocker: None }
    }

    /// The same, naming the contact in the way.
    #[must_use]
    pub fn blocked_by(mut self, propstreet_id: &str) -> Self {
        self.blocker = Some(propstreet_id.to_owned());
        self
    }
}

/// Why a record waits to be tried again by itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Wait {
    /// The upstream was down.
    Outage,
    /// Propstreet's look-up has not shown our write yet.
    LookupLags,
    /// Propstreet failed on this record while others succeeded.
    RecordFails,
    /// The e-mail is taken by someone the index does not show yet.
    EmailTaken,
    /// Someone else kept changing the contact while we wrote.
    Contended,
    /// Propstreet refused the credential.
    Credential,
    /// More people changed within a day than may without a person's word.
    Guarded,
}

impl Wait {
    /// Every wait.
    pub const ALL: [Self; 7] = [
        Self::Outage,
        Self::LookupLags,
        Self::RecordFails,
        Self::EmailTaken,
        Self::Contended,
        Self::Credential,
        Self::Guarded,
    ];

    /// The word used in the ledger and in output.
    #[must_use]
    pub fn code(self) -> &'static str {
        match self {
            Self::Outage => "outage",
            Self::LookupLags => "lookup_lags",
            Self::RecordFails => "record_fails",
            Self::EmailTaken => "email_taken",
            Self::Contended => "contended",
            Self::Credential => "credential",
            Self::Guarded => "guarded",
        }
    }

    /// Whether this has nothing to do with the record itself, whose tries are then not counted against it.
    #[must_use]
    pub fn spares_the_record(self) -> bool {
        matches!(self, Self::Outage | Self::Credential | Self::Guarded)
    }

    /// How long until the next try, by the number of tries that have failed; `None` where it is not time that decides.
    /// 0 · 2 min · 1, 4, 16, 64 min up to 6 h: the fifth failure of a record is at least an hour after its first.
    #[must_use]
    pub fn until_next(self, failed: u32) -> Option<Duration> {
        Some(match self {
            // The upstream was at fault: the first pass after it is back takes these up.
            Self::Outage | Self::Credential => Duration::ZERO,
            Self::LookupLags => Duration::from_secs(120),
            Self::RecordFails | Self::EmailTaken | Self::Contended => {
                Duration::from_secs(60 * 4_u64.pow(failed.saturating_sub(1).min(5))).min(Duration::from_secs(6 * 3600))
            }
            // A sync takes up as many as there is room for.
            Self::Guarded => return None,
        })
    }

    /// The wait that word stands for.
    #[must_use]
    pub fn parse(code: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|w| w.code() == code)
    }
}

impl fmt::Display for Wait {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.code())
    }
}
