//! The calls on companies. Their paths are those of contacts, but for find-duplicates, which has none of the network's.
//! Propstreet: the pages under "Companies"; changelog 1.3.0.

use ::http::Method;
use ::http::header::IF_MATCH;
use bytes::Bytes;
use futures_util::future::BoxFuture;
use url::Url;

use crate::domain::employer::{Employer, Hit};
use crate::domain::failure::Trouble;
use crate::domain::identity::{ExternalRef, RefKey};
use crate::http::body;
use crate::http::client::Call;
use crate::propstreet::client::{endpoint, header, request};
use crate::propstreet::network::WireHits;
use crate::propstreet::{Propstreet, answers, network};
use crate::sync::destination::companies::{CompanyAnswer, CompanyDestination, CompanyPatch, SeenCompany};

impl Propstreet {
    fn companies(&self, below: &[&str]) -> Result<Url, Trouble> {
        endpoint(&self.base_url, &[&["api", "v1", "network", "companies"], below].concat())
    }

    async fn company(&self, subject: &RefKey, below: &[&str], by_id: bool) -> Result<Option<SeenCompany>, Trouble> {
        let request = request(Method::GET, &self.companies(below)?, Bytes::new())?;
        let answer = self.send(Call::read(request, answers::judge_company).about(subject)).await?;
        answers::company_found(&answer, by_id)
    }
}

impl CompanyDestination for Propstreet {
    fn find_company<'a>(
        &'a self,
        subject: &'a RefKey,
        reference: &'a ExternalRef,
    ) -> BoxFuture<'a, Result<Option<SeenCompany>, Trouble>> {
        Box::pin(async move { self.company(subject, &["external", &reference.namespace, &reference.id], false).await })
    }

    fn read_company<'a>(
        &'a self,
        subject: &'a RefKey,
        id: &'a str,
    ) -> BoxFuture<'a, Result<Option<SeenCompany>, Trouble>> {
        Box::pin(async move { self.company(subject, &[id], true).await })
    }

    fn duplicates<'a>(
        &'a self,
        subject: &'a RefKey,
        employer: &'a Employer,
    ) -> BoxFuture<'a, Result<Vec<Hit>, Trouble>> {
        Box::pin(async move {
            let url = endpoint(&self.base_url, &["api", "v1", "companies", "find-duplicates"])?;
            let request = request(Method::POST, &url, network::question(employer)?)?;
            let answer = self.send(Call::read(request, answers::judge_company).about(subject)).await?;
            answers::of_collection(&answer, |answer| Ok(body::json::<WireHits>(answer)?.hits()))
        })
    }

    fn create_company<'a>(
        &'a self,
        subject: &'a RefKey,
        employer: &'a Employer,
        reference: &'a ExternalRef,
    ) -> BoxFuture<'a, Result<CompanyAnswer, Trouble>> {
        Box::pin(async move {
            let request = request(Method::POST, &self.companies(&[])?, network::create(employer, reference)?)?;
            let answer = self.send(Call::write(request, answers::judge_company).about(subject)).await?;
            answers::company_written(&answer, true)
        })
    }

    fn patch_company<'a>(
        &'a self,
        subject: &'a RefKey,
        company: &'a SeenCompany,
        patch: &'a CompanyPatch,
    ) -> BoxFuture<'a, Result<CompanyAnswer, Trouble>> {
        Box::pin(async move {
            let mut request = request(Method::PATCH, &self.companies(&[&company.id])?, network::patch(patch)?)?;
            if let Some(etag) = &company.etag {
                request.headers_mut().insert(IF_MATCH, header(etag)?);
            }
            let answer = self.send(Call::write(request, answers::judge_company).about(subject)).await?;
            answers::company_written(&answer, false)
        })
    }
}
