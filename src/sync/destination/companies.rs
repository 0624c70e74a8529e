//! What the engine asks of Propstreet about companies and employments. A tenant that may not use these calls refuses them
//! with [`Trouble::Forbidden`], whatever the status was: that is no matter of the one company that was asked for.

use futures_util::future::BoxFuture;

use crate::domain::employer::{CompanyField, Employer, Hit};
use crate::domain::failure::Trouble;
use crate::domain::identity::{ExternalRef, RefKey};
use crate::sync::destination::{Conflict, ContactDestination, Refusal};

/// A company as Propstreet shows it. Lives as long as a decision.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct SeenCompany {
    /// Propstreet's id, opaque.
    pub id: String,
    /// The row version, byte for byte, for `If-Match`.
    pub etag: Option<String>,
    /// Whether it carries a `deletedUtc`.
    pub deleted: bool,
    /// Every ref, as spelled there.
    pub refs: Vec<ExternalRef>,
    /// Its name.
    pub name: Option<String>,
    /// Its homepage.
    pub homepage: Option<String>,
    /// Its domain.
    pub domain: Option<String>,
    /// Its country.
    pub country: Option<String>,
}

impl SeenCompany {
    /// The value of a field.
    #[must_use]
    pub fn value(&self, field: CompanyField) -> Option<&str> {
        match field {
            CompanyField::Name => self.name.as_deref(),
            CompanyField::Homepage => self.homepage.as_deref(),
            CompanyField::Domain => self.domain.as_deref(),
            CompanyField::Country => self.country.as_deref(),
        }
    }
}

/// The fields of a company that a write sets; the others stay.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct CompanyPatch {
    /// All refs it shall have.
    pub refs: Option<Vec<ExternalRef>>,
    /// Fields and their new values.
    pub texts: Vec<(CompanyField, String)>,
}

/// What became of a company's write.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CompanyAnswer {
    /// Written, or already so.
    Written(Box<SeenCompany>),
    /// 409; or 412 to a change: it is another than was read, or somebody has the ref.
    Conflict(Conflict),
    /// No such company.
    Missing,
    /// 400 or 422.
    Rejected(Refusal),
}

/// An employment as a resource of its own.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Link {
    /// Propstreet's id of it.
    pub id: String,
    /// The employer.
    pub company: String,
    /// Its row version.
    pub etag: Option<String>,
    /// Whether it has ended.
    pub deleted: bool,
}

/// What of an employment is to be another.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct LinkPatch {
    /// The title.
    pub job_title: Option<String>,
    /// It becomes the contact's primary one.
    pub primary: bool,
}

/// What became of an employment's write.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LinkAnswer {
    /// Written, or already so.
    Written,
    /// 409 or 412: it is another than was read, or there is one already.
    Conflict,
    /// No such employment, contact or company.
    Missing,
    /// 400 or 422.
    Rejected(Refusal),
}

/// The companies of one Propstreet tenant.
pub trait CompanyDestination: Send + Sync {
    /// Looks a company up by ref; `None` for 404. The answer may be a deleted company.
    fn find_company<'a>(
        &'a self,
        subject: &'a RefKey,
        reference: &'a ExternalRef,
    ) -> BoxFuture<'a, Result<Option<SeenCompany>, Trouble>>;

    /// Reads a company by Propstreet's id; `None` where there is none that we may see.
    fn read_company<'a>(
        &'a self,
        subject: &'a RefKey,
        id: &'a str,
    ) -> BoxFuture<'a, Result<Option<SeenCompany>, Trouble>>;

    /// The companies that Propstreet holds this employer may be.
    fn duplicates<'a>(
        &'a self,
        subject: &'a RefKey,
        employer: &'a Employer,
    ) -> BoxFuture<'a, Result<Vec<Hit>, Trouble>>;

    /// Creates a company that carries `reference`.
    fn create_company<'a>(
        &'a self,
        subject: &'a RefKey,
        employer: &'a Employer,
        reference: &'a ExternalRef,
    ) -> BoxFuture<'a, Result<CompanyAnswer, Trouble>>;

    /// Writes some fields of a company under `If-Match`.
    fn patch_company<'a>(
        &'a self,
        subject: &'a RefKey,
        company: &'a SeenCompany,
        patch: &'a CompanyPatch,
    ) -> BoxFuture<'a, Result<CompanyAnswer, Trouble>>;
}

/// The employments of one Propstreet tenant.
pub trait LinkDestination: Send + Sync {
    /// A contact's employments, ended ones perhaps among them.
    fn links<'a>(&'a self, subject: &'a RefKey, contact: &'a str) -> BoxFuture<'a, Result<Vec<Link>, Trouble>>;

    /// Employs a contact.
    fn link<'a>(
        &'a self,
        subject: &'a RefKey,
        contact: &'a str,
        company: &'a str,
        job_title: Option<&'a str>,
    ) -> BoxFuture<'a, Result<LinkAnswer, Trouble>>;

    /// Changes an employment under `If-Match`.
    fn amend_link<'a>(
        &'a self,
        subject: &'a RefKey,
        link: &'a Link,
        patch: &'a LinkPatch,
    ) -> BoxFuture<'a, Result<LinkAnswer, Trouble>>;
}

/// One Propstreet tenant with all that the engine asks of it.
pub trait Destination: ContactDestination + CompanyDestination + LinkDestination {}

impl<T: ContactDestination + CompanyDestination + LinkDestination> Destination for T {}
