//! The calls on links, the employments between contacts and companies. One page calls `If-Match` mandatory for a change,
//! another best effort: it is always sent. Propstreet: the pages under "Links"; changelog 1.6.0.

use ::http::Method;
use ::http::header::IF_MATCH;
use bytes::Bytes;
use futures_util::future::BoxFuture;
use url::Url;

use crate::domain::failure::Trouble;
use crate::domain::identity::RefKey;
use crate::http::body;
use crate::http::client::Call;
use crate::propstreet::client::{endpoint, header, request};
use crate::propstreet::network::WireLinks;
use crate::propstreet::{Propstreet, answers, network};
use crate::sync::destination::companies::{Link, LinkAnswer, LinkDestination, LinkPatch};

impl Propstreet {
    fn links_url(&self, below: &[&str]) -> Result<Url, Trouble> {
        endpoint(&self.base_url, &[&["api", "v1", "network", "links"], below].concat())
    }
}

impl LinkDestination for Propstreet {
    fn links<'a>(&'a self, subject: &'a RefKey, contact: &'a str) -> BoxFuture<'a, Result<Vec<Link>, Trouble>> {
        Box::pin(async move {
            let mut url = self.links_url(&[])?;
            url.query_pairs_mut().append_pair("contact_id", contact).append_pair("page_size", "500");
            let mut all = Vec::new();
            loop {
                let call = Call::read(request(Method::GET, &url, Bytes::new())?, answers::judge_company);
                let answer = self.send(call.about(subject)).await?;
                let page = answers::of_collection(&answer, |answer| body::json::<WireLinks>(answer)?.links())?;
                let (links, next) = page;
                all.extend(links);
                let Some(cursor) = next else { return Ok(all) };
                // A cursor carries the other parameters in it.
                url.query_pairs_mut().clear().append_pair("cursor", &cursor);
            }
        })
    }

    fn link<'a>(
        &'a self,
        subject: &'a RefKey,
        contact: &'a str,
        company: &'a str,
        job_title: Option<&'a str>,
    ) -> BoxFuture<'a, Result<LinkAnswer, Trouble>> {
        Box::pin(async move {
            let body = network::link(contact, company, job_title)?;
            let request = request(Method::POST, &self.links_url(&[])?, body)?;
            answers::link_written(&self.send(Call::write(request, answers::judge_company).about(subject)).await?)
        })
    }

    fn amend_link<'a>(
        &'a self,
        subject: &'a RefKey,
        link: &'a Link,
        patch: &'a LinkPatch,
    ) -> BoxFuture<'a, Result<LinkAnswer, Trouble>> {
        Box::pin(async move {
            let mut request = request(Method::PATCH, &self.links_url(&[&link.id])?, network::amend(patch)?)?;
            if let Some(etag) = &link.etag {
                request.headers_mut().insert(IF_MATCH, header(etag)?);
            }
            answers::link_written(&self.send(Call::write(request, answers::judge_company).about(subject)).await?)
        })
    }
}
