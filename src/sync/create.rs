//! A contact that nobody has: announced, sent with its reference and where its person works, and settled.

use uuid::Uuid;

use crate::domain::contact::Contact;
use crate::domain::failure::{Complaint, Reason, Wait};
use crate::domain::fingerprint::Fingerprint;
use crate::sync::deliver::{Delivery, Halt, Turn};

impl Delivery<'_> {
    /// Announces a create, sends it, and settles the answer.
    pub(super) async fn create(&mut self) -> Result<Turn, Halt> {
        if let Some(detail) = self.memory.questioned.take() {
            return Err(self.unexplained(detail));
        }
        if let Some(detail) = self.memory.email_refused.take() {
            return Err(Halt::Quarantine(Complaint::new(Reason::Rejected, detail)));
        }
        let contact = self.contact()?.clone();
        self.let_sibling_go_first().await?;
        let employer = self.first_employer().await?;
        self.announce_create(&contact).await?;
        let (key, employer) = (self.idempotency_key(&contact, employer.as_deref()), employer.as_deref());
        let sent =
            self.send(|d| d.engine.destination.create(&self.key, &contact, &self.reference, employer, &key)).await;
        match sent {
            Ok(answer) => self.settle_create(answer).await,
            // A create names no contact that could be out of bounds: it is the credential that may not.
            Err(Halt::Quarantine(complaint)) if complaint.reason == Reason::Forbidden => {
                Err(Halt::Defer(Wait::Credential, complaint.detail))
            }
            Err(halt) => Err(halt),
        }
    }

    /// The same for the same ref and content as it is sent, so that a repeat after a crash repeats the key.
    fn idempotency_key(&self, contact: &Contact, employer: Option<&str>) -> String {
        let Fingerprint(content) = Fingerprint::of(contact);
        let replayed = self.memory.replayed.as_deref().unwrap_or_default();
        let content = [&content[..], employer.unwrap_or_default().as_bytes(), replayed.as_bytes()].concat();
        let namespace = Uuid::new_v5(&Uuid::NAMESPACE_URL, self.key.to_string().as_bytes());
        Uuid::new_v5(&namespace, &content).to_string()
    }
}
