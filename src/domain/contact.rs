//! A contact on its way to Propstreet: first a [`Draft`] as the map made it, then a [`Contact`] that has passed the
//! limits and can be trusted everywhere after.

use serde::Serialize;

/// What the mapping rules made of a record: nothing checked yet.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Draft {
    /// Given name.
    pub first_name: Option<String>,
    /// Family name.
    pub last_name: Option<String>,
    /// The primary address only (Propstreet's own mapping tables).
    pub email: Option<String>,
    /// The phone, E.164 where the rule could make it so.
    pub phone: Option<String>,
    /// `https://www.linkedin.com/in/{slug}`.
    pub linkedin_url: Option<String>,
    /// ISO 639-1.
    pub primary_language: Option<String>,
    /// Free text.
    pub strategy: Option<String>,
    /// Tags, as a set in first-seen order.
    pub tags: Vec<String>,
    /// The employer's name; becomes an employment where companies are linked.
    pub company: Option<String>,
    /// The CRM's own id of that employer.
    pub company_id: Option<String>,
    /// Its homepage.
    pub company_website: Option<String>,
    /// Its domain; a homepage has one of its own.
    pub company_domain: Option<String>,
    /// Its country, ISO 3166-1 alpha-2.
    pub company_country: Option<String>,
    /// The title at that employer.
    pub job_title: Option<String>,
}

/// A contact within Propstreet's limits, with at least one identifier. Only [`crate::domain::limits::check`] makes one.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Contact {
    pub(in crate::domain) first_name: Option<String>,
    pub(in crate::domain) last_name: Option<String>,
    pub(in crate::domain) email: Option<String>,
    pub(in crate::domain) phone: Option<String>,
    pub(in crate::domain) linkedin_url: Option<String>,
    pub(in crate::domain) primary_language: Option<String>,
    pub(in crate::domain) strategy: Option<String>,
    pub(in crate::domain) tags: Vec<String>,
    pub(in crate::domain) company: Option<String>,
    // Left out when empty, so that a contact without them keeps the fingerprint it always had.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(in crate::domain) company_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(in crate::domain) company_website: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(in crate::domain) company_domain: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(in crate::domain) company_country: Option<String>,
    pub(in crate::domain) job_title: Option<String>,
}

impl Contact {
    /// Given name, ≤ 255 UTF-16 units.
    #[must_use]
    pub fn first_name(&self) -> Option<&str> {
        self.first_name.as_deref()
    }
    /// Family name, ≤ 255 UTF-16 units.
    #[must_use]
    pub fn last_name(&self) -> Option<&str> {
        self.last_name.as_deref()
    }
    /// Address, ≤ 254, syntactically valid, domain lower-cased.
    #[must_use]
    pub fn email(&self) -> Option<&str> {
        self.email.as_deref()
    }
    /// Phone, ≤ 50.
    #[must_use]
    pub fn phone(&self) -> Option<&str> {
        self.phone.as_deref()
    }
    /// LinkedIn profile in Propstreet's form, ≤ 500.
    #[must_use]
    pub fn linkedin_url(&self) -> Option<&str> {
        self.linkedin_url.as_deref()
    }
    /// ISO 639-1.
    #[must_use]
    pub fn primary_language(&self) -> Option<&str> {
        self.primary_language.as_deref()
    }
    /// Free text, ≤ 4,000.
    #[must_use]
    pub fn strategy(&self) -> Option<&str> {
        self.strategy.as_deref()
    }
    /// At most 100 distinct tags.
    #[must_use]
    pub fn tags(&self) -> &[String] {
        &self.tags
    }
    /// Employer's name, ≤ 255; sent only where companies are linked.
    #[must_use]
    pub fn company(&self) -> Option<&str> {
        self.company.as_deref()
    }
    /// The CRM's own id of the employer, ≤ 255.
    #[must_use]
    pub fn company_id(&self) -> Option<&str> {
        self.company_id.as_deref()
    }
    /// The employer's homepage, ≤ 500, with a scheme.
    #[must_use]
    pub fn company_website(&self) -> Option<&str> {
        self.company_website.as_deref()
    }
    /// The employer's domain, ≤ 255.
    #[must_use]
    pub fn company_domain(&self) -> Option<&str> {
        self.company_domain.as_deref()
    }
    /// The employer's country, ISO 3166-1 alpha-2.
    #[must_use]
    pub fn company_country(&self) -> Option<&str> {
        self.company_country.as_deref()
    }
    /// Job title, ≤ 255; belongs to the employment.
    #[must_use]
    pub fn job_title(&self) -> Option<&str> {
        self.job_title.as_deref()
    }
    /// Whether an employer waits to be linked.
    #[must_use]
    pub fn has_employment(&self) -> bool {
        self.company.is_some()
    }
    /// The same contact without its address (`email_conflict = "without_email"`), or `None` if nothing would identify it.
    #[must_use]
    pub fn without_email(&self) -> Option<Self> {
        let named = self.first_name.is_some() || self.last_name.is_some() || self.phone.is_some();
        named.then(|| Self { email: None, ..self.clone() })
    }
}
