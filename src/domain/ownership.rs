//! Who has the last word on a field of a contact that exists: its CRM, or the people in Propstreet (protocol §G). Pure.

/// A field of a contact that a CRM can feed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[expect(missing_docs, reason = "each is the field of the same name in domain::contact::Contact")]
pub enum Field {
    FirstName,
    LastName,
    Email,
    Phone,
    LinkedinUrl,
    PrimaryLanguage,
    Strategy,
    Tags,
    JobTitle,
    Company,
}

impl Field {
    /// Every field.
    pub const ALL: [Self; 10] = [
        Self::FirstName,
        Self::LastName,
        Self::Email,
        Self::Phone,
        Self::LinkedinUrl,
        Self::PrimaryLanguage,
        Self::Strategy,
        Self::Tags,
        Self::JobTitle,
        Self::Company,
    ];

    /// Its word in the configuration and in the ledger.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::FirstName => "first_name",
            Self::LastName => "last_name",
            Self::Email => "email",
            Self::Phone => "phone",
            Self::LinkedinUrl => "linkedin_url",
            Self::PrimaryLanguage => "primary_language",
            Self::Strategy => "strategy",
            Self::Tags => "tags",
            Self::JobTitle => "job_title",
            Self::Company => "company",
        }
    }

    /// The field that word stands for.
    #[must_use]
    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|field| field.name() == name)
    }
}

/// Whose a field is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Owner {
    /// The CRM's: each change there is written, whatever stands in Propstreet. Of tags, those that the CRM gave are taken
    /// away with it; others stay.
    Crm,
    /// Propstreet's, once somebody has changed it there; until then it follows the CRM. Tags are given once.
    Propstreet,
    /// Of tags alone: what the CRM has is added, and nothing taken away.
    Union,
}

/// The owner of every field.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Owners([Owner; 10]);

impl Owners {
    /// The same with another owner of one field.
    #[must_use]
    pub fn with(mut self, field: Field, owner: Owner) -> Self {
        self.0[field as usize] = owner;
        self
    }

    /// Whose a field is.
    #[must_use]
    pub fn of(&self, field: Field) -> Owner {
        self.0[field as usize]
    }
}

impl Default for Owners {
    fn default() -> Self {
        Self([Owner::Crm; 10]).with(Field::Strategy, Owner::Propstreet).with(Field::Tags, Owner::Union)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn by_default_the_strategy_is_propstreets_and_tags_are_added() {
        for field in Field::ALL {
            let expected = match field {
                Field::Strategy => Owner::Propstreet,
                Field::Tags => Owner::Union,
                _ => Owner::Crm,
            };
            assert_eq!(Owners::default().of(field), expected, "{field:?}");
            assert_eq!(Field::ALL[field as usize], field);
        }
        let theirs = Owners::default().with(Field::Phone, Owner::Propstreet);
        assert_eq!(theirs.of(Field::Phone), Owner::Propstreet);
        assert_eq!(theirs.of(Field::Email), Owner::Crm);
    }
}
