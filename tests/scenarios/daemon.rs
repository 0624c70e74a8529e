//! The process that stays: each source in its own time, none held up by another, and an end that leaves the ledger free.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use futures_util::future::BoxFuture;
use propsync::assembly::Network;
use propsync::daemon::Ended;
use propsync::http::transport::{Failure, Request, Response, Transport};
use propsync::sandbox::faults::{Fault, Rule};
use propsync::sandbox::upstream::Crm;
use url::Url;

use crate::support::network::Routers;
use crate::support::{Firm, all_green, in_virtual_time, person};

const MINUTE: Duration = Duration::from_secs(60);

/// Lives as long as a story, and is then asked to end.
async fn live(firm: &Firm, network: &dyn Network, story: impl Future<Output = ()>) {
    let mut story = Some(story);
    let signalled = async || match story.take() {
        Some(story) => story.await,
        None => std::future::pending().await,
    };
    assert_eq!(firm.stay(network).await.live(signalled).await, Ended::Cleanly(()));
}

#[test]
fn everyone_is_synced_at_the_start_and_again_when_due() {
    in_virtual_time(async {
        let firm = Firm::new(91, |settings| settings.contacts = 60);
        let story = async {
            firm.wait(4 * MINUTE).await;
            assert!(firm.sandbox.check().is_clean(), "the first sync of each source is made at once");
            firm.sandbox.change(20);
            firm.wait(21 * MINUTE).await;
            let report = firm.sandbox.check();
            assert!(report.is_clean(), "what changed is there with one of the next two: {report:?}");
        };
        live(&firm, &firm.network, story).await;
        assert!(all_green(&firm.sync().await), "the ledger is free again");
    });
}

#[test]
fn a_source_that_is_down_holds_up_no_other() {
    in_virtual_time(async {
        let firm = Firm::new(92, |settings| settings.contacts = 0);
        firm.sandbox.hubspot.faults().add(Rule::new(Fault::Status { code: 503, retry_after: None }));
        let story = async {
            for n in 0..4 {
                let reference = firm.sandbox.plant(Crm::Pipedrive, &person("Anna", &format!("Berg{n}"), ""));
                firm.wait(11 * MINUTE).await;
                assert_eq!(firm.ending(&reference).await, "created", "{n}");
            }
            let late = firm.sandbox.plant(Crm::HubSpot, &person("Bo", "Ek", "bo@ek.example"));
            firm.sandbox.hubspot.faults().clear();
            firm.wait(10 * MINUTE).await;
            assert_eq!(firm.ending(&late).await, "created", "it is tried again by itself");
        };
        live(&firm, &firm.network, story).await;
        assert!(firm.sandbox.check().is_clean());
    });
}

/// A network on which the first calls to one CRM end in a fault of our own.
struct Faulty<'a> {
    routers: &'a Routers,
    base: Url,
    left: Arc<AtomicU32>,
}

impl Network for Faulty<'_> {
    fn transport(&self, base: &Url, timeout: Duration) -> Result<Arc<dyn Transport>, String> {
        let inner = self.routers.transport(base, timeout)?;
        if *base != self.base {
            return Ok(inner);
        }
        Ok(Arc::new(Panics { inner, left: self.left.clone() }))
    }
}

struct Panics {
    inner: Arc<dyn Transport>,
    left: Arc<AtomicU32>,
}

impl Transport for Panics {
    fn send(&self, request: Request) -> BoxFuture<'_, Result<Response, Failure>> {
        let counted = self.left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| left.checked_sub(1));
        Box::pin(async move {
            assert!(counted.is_err(), "a fault, as planned");
            self.inner.send(request).await
        })
    }
}

#[test]
fn a_panic_in_one_source_ends_one_sync_alone() {
    in_virtual_time(async {
        let firm = Firm::new(93, |settings| settings.contacts = 25);
        let left = Arc::new(AtomicU32::new(2));
        let base = firm.network.urls()[1].parse().expect("a URL");
        let network = Faulty { routers: &firm.network, base, left: left.clone() };
        live(&firm, &network, firm.wait(11 * MINUTE)).await;
        assert_eq!(left.load(Ordering::Relaxed), 0, "two syncs broke off");
        let report = firm.sandbox.check();
        assert!(report.is_clean(), "and the third went well: {report:?}");
    });
}

#[test]
fn a_second_signal_is_not_made_to_wait() {
    in_virtual_time(async {
        let firm = Firm::new(94, |settings| settings.contacts = 5);
        let daemon = firm.stay(&firm.network).await;
        let mut signals = ["first", "second"].into_iter();
        let ended = daemon.live(async || signals.next().expect("two signals")).await;
        assert_eq!(ended, Ended::AtOnce("second"));
    });
}
