//! PID 1 of a virtual machine that runs an OCI image.
//!
//! banger builds this package as one small static program and puts it into an initrd as `/init`, with a
//! [`Spec`] and the kernel modules that reaching the root filesystem takes. The root filesystem itself
//! is never prepared for it.
//!
//! ```text
//! boot       devtmpfs, proc, sysfs ─ modules ─ root ─ mounts ─ host ─ network ─ program
//!   │ any failure: one line on the console, one event, power off
//!   ├─ an init of the image: exec, as PID 1
//!   └─ any other program: child ─▶ user, limits, working directory, exec
//!        supervise: reap, forward signals, wait
//!          └─ kill the rest, sync, remount read-only, tell the exit status, power off
//! ```
//!
//! Both sides of the initrd use the same types: banger writes the [`Spec`], and asks [`choose`] what will run.

mod boot;
mod channel;
mod child;
mod choice;
mod dhcp;
mod end;
mod event;
mod modules;
mod mounts;
mod names;
mod netlink;
mod network;
mod parameters;
mod power;
mod process;
mod root;
mod spec;
mod streams;
mod supervise;
mod user;

pub use boot::run;
pub use choice::{Command, INITS, Role, SHELLS, choose};
pub use event::Event;
pub use modules::WANTED_MODULES;
pub use parameters::{
    EVENTS_PARAMETER, EXIT_PARAMETER, INIT_PARAMETER, NETWORK_PARAMETER, ROOT_PARAMETER,
};
pub use spec::{
    Address, ImageConfig, InitMode, MODULES_DIRECTORY, Mount, Network, Overrides, Root, RootMode,
    SCHEMA_VERSION, SPEC_PATH, Spec, SpecError, Streams,
};
pub use user::check_user;

/// Why the guest does not go on: the step and what went wrong in it.
#[derive(Debug)]
pub(crate) struct Failure {
    step: &'static str,
    error: String,
}

impl Failure {
    pub(crate) fn new(step: &'static str, error: impl Into<String>) -> Self {
        Self {
            step,
            error: error.into(),
        }
    }
}
