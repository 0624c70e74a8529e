//! Exit codes: a contract with whoever calls this program from a script or a unit.

use std::process::ExitCode;

use tokio::signal::unix::{Signal, SignalKind, signal};

use crate::domain::failure::Blame;

/// How the program ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Exit {
    /// 0: all is well.
    Fine,
    /// 1: it failed while running.
    Failed,
    /// 2: the command line or the configuration is wrong.
    Usage,
    /// 3: the surroundings are: an upstream, the disk, a permission, a credential.
    Environment,
    /// 4: done, but not all of it: incomplete, newly quarantined, books open.
    Degraded,
    /// 130: ended by SIGINT.
    Interrupted,
    /// 143: ended by SIGTERM.
    Terminated,
}

impl Exit {
    /// The number the shell sees.
    #[must_use]
    pub fn code(self) -> u8 {
        match self {
            Self::Fine => 0,
            Self::Failed => 1,
            Self::Usage => 2,
            Self::Environment => 3,
            Self::Degraded => 4,
            Self::Interrupted => 130,
            Self::Terminated => 143,
        }
    }

    /// The one that is reported when both happened: a signal first, then 2 > 3 > 1 > 4 > 0.
    #[must_use]
    pub fn worse(self, other: Self) -> Self {
        std::cmp::max_by_key(self, other, |exit| exit.weight())
    }

    fn weight(self) -> u8 {
        match self {
            Self::Fine => 0,
            Self::Degraded => 1,
            Self::Failed => 2,
            Self::Environment => 3,
            Self::Usage => 4,
            Self::Interrupted => 5,
            Self::Terminated => 6,
        }
    }
}

impl From<Blame> for Exit {
    fn from(blame: Blame) -> Self {
        match blame {
            Blame::Program => Self::Failed,
            Blame::Usage => Self::Usage,
            Blame::Environment => Self::Environment,
        }
    }
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit.code())
    }
}

/// SIGINT and SIGTERM, from the moment this is made.
#[derive(Debug)]
pub struct Signals {
    interrupt: Signal,
    terminate: Signal,
}

impl Signals {
    /// Begins to listen for them. Fails where signals cannot be had.
    pub fn hear() -> std::io::Result<Self> {
        Ok(Self { interrupt: signal(SignalKind::interrupt())?, terminate: signal(SignalKind::terminate())? })
    }

    /// Waits for the next and says which it is.
    pub async fn next(&mut self) -> Exit {
        tokio::select! {
            _ = self.interrupt.recv() => Exit::Interrupted,
            _ = self.terminate.recv() => Exit::Terminated,
        }
    }
}

/// Waits for SIGINT or SIGTERM and says which. Fails where signals cannot be had.
pub async fn signalled() -> std::io::Result<Exit> {
    Ok(Signals::hear()?.next().await)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_gravest_wins() {
        let order = [Exit::Fine, Exit::Degraded, Exit::Failed, Exit::Environment, Exit::Usage];
        assert_eq!(order.map(Exit::code), [0, 4, 1, 3, 2]);
        for (lighter, exit) in order.iter().enumerate() {
            for other in &order[..=lighter] {
                assert_eq!(exit.worse(*other), *exit);
                assert_eq!(other.worse(*exit), *exit);
            }
            assert_eq!(exit.worse(Exit::Interrupted), Exit::Interrupted);
        }
    }
}
