//! The objects of the org by name and by the first characters of their ids.

use crate::sandbox::salesforce::columns::Record;
use crate::sandbox::salesforce::records::{Account, Contact, Lead};

/// One of the org's objects.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Object {
    /// Contact.
    Contact,
    /// Lead.
    Lead,
    /// Account.
    Account,
}

impl Object {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Contact, Self::Lead, Self::Account];

    /// The object of this name, whatever its case.
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|object| object.name().eq_ignore_ascii_case(name))
    }

    /// `Contact`
    pub fn name(self) -> &'static str {
        with_type!(self, T => T::TYPE)
    }

    /// The first three characters of its ids.
    pub fn prefix(self) -> &'static str {
        with_type!(self, T => T::PREFIX)
    }
}

/// Runs an expression for the type of an object's rows.
macro_rules! with_type {
    ($object:expr, $type:ident => $body:expr) => {
        match $object {
            Object::Contact => {
                type $type = Contact;
                $body
            }
            Object::Lead => {
                type $type = Lead;
                $body
            }
            Object::Account => {
                type $type = Account;
                $body
            }
        }
    };
}
pub(super) use with_type;
