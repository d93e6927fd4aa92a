//! Who watches an operation, and may end it: the one way by which every step says that it begins, and by which
//! whatever may take long asks whether it is to go on.

use std::sync::Arc;

use oci_flatten::flatten::CancellationToken;
use oci_flatten::lock::Waiter;

use crate::error::{Error, ErrorKind};
pub use crate::progress::Step;
use crate::progress::{self, Forward, ProgressEvent};

/// Watches an operation, and may end it.
pub trait Observer {
    /// A step begins.
    fn step(&self, _step: Step) {}

    /// Whether the operation is to end; asked at each step, and again and again by what may take long.
    fn is_cancelled(&self) -> bool {
        false
    }

    /// Ends the operation where it is to end.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Interrupted`].
    fn check(&self) -> Result<(), Error> {
        match self.is_cancelled() {
            true => Err(Error::new(ErrorKind::Interrupted, "interrupted")),
            false => Ok(()),
        }
    }

    /// Begins a step, unless the operation is to end.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Interrupted`].
    fn begin(&self, step: Step) -> Result<(), Error> {
        tracing::debug!(?step);
        self.step(step);
        self.check()
    }
}

/// Nobody watches.
impl Observer for () {}

/// The watch over an operation that a command or the daemon runs.
#[derive(Clone)]
pub struct Watch {
    /// Who is told how far it is.
    pub progress: Arc<dyn progress::Observer>,
    /// Ends it, soon after it is cancelled.
    pub cancellation: CancellationToken,
    #[cfg(debug_assertions)]
    stall: Arc<stall::Stall>,
}

impl Watch {
    /// `progress` is told how far the operation is, and `cancellation` ends it.
    #[must_use]
    pub fn new(progress: Arc<dyn progress::Observer>, cancellation: CancellationToken) -> Self {
        Self {
            progress,
            cancellation,
            #[cfg(debug_assertions)]
            stall: Arc::default(),
        }
    }

    /// Nobody is told; `cancellation` ends the operation.
    #[must_use]
    pub fn silent(cancellation: CancellationToken) -> Self {
        Self::new(Arc::new(()), cancellation)
    }

    /// The same, for one who waits for locks.
    #[must_use]
    pub fn waiter(&self) -> Waiter {
        Waiter {
            observer: Forward::to(self.progress.clone()),
            cancellation: self.cancellation.clone(),
        }
    }
}

impl Observer for Watch {
    fn step(&self, step: Step) {
        self.progress.observe(ProgressEvent::StepStarted { step });
        #[cfg(debug_assertions)]
        self.stall.begin(step);
    }

    fn is_cancelled(&self) -> bool {
        #[cfg(debug_assertions)]
        self.stall.look(self);
        self.cancellation.is_cancelled()
    }
}

/// Has an operation stand still in the middle of a step, so that tests can see it end there. It is compiled into
/// debug builds alone.
#[cfg(debug_assertions)]
mod stall {
    use std::sync::{LazyLock, Mutex, PoisonError};
    use std::thread::sleep;
    use std::time::Duration;

    use serde_json::Value;

    use super::{Step, Watch};
    use crate::progress::ProgressEvent;

    /// The step, by its name in progress events.
    const VARIABLE: &str = "BANGER_STALL_AT";

    static STEP: LazyLock<Option<Step>> = LazyLock::new(|| {
        let name = std::env::var(VARIABLE).ok()?;
        serde_json::from_value(Value::String(name)).ok()
    });

    /// How often the present step has looked whether it is to end, where it is the one.
    #[derive(Default)]
    pub(super) struct Stall(Mutex<Option<u32>>);

    impl Stall {
        pub(super) fn begin(&self, step: Step) {
            let looks = (Some(step) == *STEP).then_some(0);
            *self.0.lock().unwrap_or_else(PoisonError::into_inner) = looks;
        }

        /// The first look is that of the step's own beginning.
        pub(super) fn look(&self, watch: &Watch) {
            let mut looks = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            match &mut *looks {
                Some(looks @ 0) => *looks = 1,
                Some(_) => {
                    let what = "a test".to_owned();
                    watch.progress.observe(ProgressEvent::Waiting { what });
                    while !watch.cancellation.is_cancelled() {
                        sleep(Duration::from_millis(5));
                    }
                }
                None => {}
            }
        }
    }
}
