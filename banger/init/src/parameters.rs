//! What the kernel's command line says to this program. It goes over the spec, for the spec is made with the
//! image, and the command line with the machine.

use crate::spec::{InitMode, Network};

/// `banger.events=`: where events go. A terminal (`ttyS1`), a virtio-serial port by its name
/// (`port:NAME`), or a port of the host's vsock (`vsock:PORT`).
pub const EVENTS_PARAMETER: &str = "banger.events";
/// `banger.exit=poweroff|reboot`: how the machine ends. Firecracker ends when its guest reboots.
pub const EXIT_PARAMETER: &str = "banger.exit";
/// `banger.init=`: what becomes PID 1, as in the spec.
pub const INIT_PARAMETER: &str = "banger.init";
/// `banger.network=none|dhcp|ADDRESS/PREFIX[,GATEWAY[,NAMESERVER…]]`.
pub const NETWORK_PARAMETER: &str = "banger.network";
/// `banger.root=UUID`: the root filesystem, for a disk that is not the image's own.
pub const ROOT_PARAMETER: &str = "banger.root";

/// Where events go.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) enum EventTarget {
    Terminal(String),
    Port(String),
    Vsock(u32),
}

/// How the machine ends.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(crate) enum Ending {
    #[default]
    PowerOff,
    Reboot,
}

/// The parameters that were given.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub(crate) struct Parameters {
    pub(crate) events: Option<EventTarget>,
    pub(crate) ending: Ending,
    pub(crate) init: Option<InitMode>,
    pub(crate) network: Option<Network>,
    pub(crate) root: Option<String>,
    /// The kernel's own `ro` or `rw`, whichever comes last.
    pub(crate) read_only: Option<bool>,
}

impl Parameters {
    /// Reads a command line. What is wrong with a parameter comes back beside the others.
    pub(crate) fn parse(line: &str) -> (Self, Vec<String>) {
        let mut found = Self::default();
        let mut problems = Vec::new();
        for word in words(line) {
            match word.as_str() {
                // What follows is for the kernel's init.
                "--" => break,
                "ro" => found.read_only = Some(true),
                "rw" => found.read_only = Some(false),
                word => {
                    if let Some((name, value)) = word.split_once('=')
                        && let Err(problem) = found.set(name, value)
                    {
                        problems.push(format!("{name}: {problem}"));
                    }
                }
            }
        }
        (found, problems)
    }

    fn set(&mut self, name: &str, value: &str) -> Result<(), String> {
        match name {
            EVENTS_PARAMETER => self.events = Some(event_target(value)?),
            EXIT_PARAMETER => {
                self.ending = match value {
                    "poweroff" => Ending::PowerOff,
                    "reboot" => Ending::Reboot,
                    _ => return Err(format!("{value} is neither poweroff nor reboot")),
                };
            }
            INIT_PARAMETER => self.init = Some(value.parse()?),
            NETWORK_PARAMETER => self.network = Some(value.parse()?),
            ROOT_PARAMETER => self.root = Some(value.to_owned()),
            _ => {}
        }
        Ok(())
    }
}

fn event_target(value: &str) -> Result<EventTarget, String> {
    if let Some(name) = value.strip_prefix("port:") {
        return Ok(EventTarget::Port(name.to_owned()));
    }
    if let Some(port) = value.strip_prefix("vsock:") {
        let port = port
            .parse()
            .map_err(|_| format!("{port} is no port of vsock"))?;
        return Ok(EventTarget::Vsock(port));
    }
    match !value.is_empty() && value.bytes().all(|byte| byte.is_ascii_alphanumeric()) {
        true => Ok(EventTarget::Terminal(value.to_owned())),
        false => Err(format!("{value} is no name of a terminal")),
    }
}

/// Splits at spaces that are not within double quotes, as the kernel does (`next_arg`, lib/cmdline.c).
fn words(line: &str) -> Vec<String> {
    let mut words = Vec::new();
    let mut word = String::new();
    let mut quoted = false;
    for c in line.chars() {
        match c {
            '"' => quoted = !quoted,
            c if c.is_ascii_whitespace() && !quoted => {
                if !word.is_empty() {
                    words.push(std::mem::take(&mut word));
                }
            }
            c => word.push(c),
        }
    }
    if !word.is_empty() {
        words.push(word);
    }
    words
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parameters_stand_among_the_kernels_own() {
        let (found, problems) = Parameters::parse(
            "console=ttyS0 ro rw banger.events=port:org.banger.events banger.exit=reboot \
             banger.init=\"/my init\" banger.network=none banger.root=x quiet -- ro banger.init=image\n",
        );
        assert_eq!(problems, Vec::<String>::new());
        let expected = Parameters {
            events: Some(EventTarget::Port("org.banger.events".into())),
            ending: Ending::Reboot,
            init: Some(InitMode::Path("/my init".into())),
            network: Some(Network::None),
            root: Some("x".into()),
            read_only: Some(false),
        };
        assert_eq!(found, expected);
    }

    #[test]
    fn what_is_wrong_is_told_and_the_rest_holds() {
        let (found, problems) = Parameters::parse(
            "banger.events=../x banger.exit=halt banger.init=sh banger.network=x banger.events=vsock:y ro",
        );
        assert_eq!(problems.len(), 5, "{problems:?}");
        assert_eq!(found.read_only, Some(true));
        assert_eq!(event_target("vsock:1024"), Ok(EventTarget::Vsock(1024)));
        assert_eq!(
            event_target("ttyS1"),
            Ok(EventTarget::Terminal("ttyS1".into()))
        );
    }
}
