//! Intake behind the dialogue.

use super::Handler;
use crate::intake::{Arrival, Intake, Mailbox, Refusal, Reply};

impl Handler for Intake {
    fn room(&self) -> bool {
        Intake::room(self).enough()
    }

    fn recipient(&self, rcpt: &str) -> Result<Mailbox, Refusal> {
        self.policy().gate.judge(rcpt, self.today())
    }

    async fn take(&self, arrival: Arrival) -> Reply {
        Intake::take(self, arrival).await
    }
}
