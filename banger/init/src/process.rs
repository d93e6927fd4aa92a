//! The process that is to run, with all that an exec takes, worked out from the image's configuration.

use serde::{Deserialize, Serialize};

use crate::spec::{ImageConfig, Overrides};
use crate::user;

/// What container engines set where an image says nothing.
const DEFAULT_PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
const DEFAULT_TERM: &str = "xterm";

/// A process, ready to be started.
#[derive(Clone, Debug, Eq, PartialEq, Serialize, Deserialize)]
pub(crate) struct Process {
    pub(crate) argv: Vec<String>,
    /// Names and values; each name once.
    pub(crate) env: Vec<(String, String)>,
    pub(crate) working_dir: String,
    pub(crate) uid: u32,
    pub(crate) gid: u32,
    pub(crate) groups: Vec<u32>,
    /// Whether standard input is a terminal, which the process is to control.
    pub(crate) terminal: bool,
}

/// What an image's files tell.
pub(crate) struct Accounts {
    pub(crate) passwd: String,
    pub(crate) group: String,
}

impl Process {
    /// Works out the process. `warn` gets what an engine would not pass on.
    pub(crate) fn new(
        argv: Vec<String>,
        config: &ImageConfig,
        overrides: &Overrides,
        accounts: &Accounts,
        hostname: Option<&str>,
        mut warn: impl FnMut(String),
    ) -> Result<Self, String> {
        let spec = overrides.user.as_deref().unwrap_or(&config.user);
        let user = user::find(spec, &accounts.passwd, &accounts.group)?;
        let mut env = Vec::new();
        set(&mut env, "PATH", DEFAULT_PATH);
        set(&mut env, "TERM", DEFAULT_TERM);
        if let Some(hostname) = hostname {
            set(&mut env, "HOSTNAME", hostname);
        }
        for variable in config.env.iter().chain(&overrides.env) {
            match variable.split_once('=') {
                Some((name, value)) if !name.is_empty() && !variable.contains('\0') => {
                    set(&mut env, name, value);
                }
                _ => warn(format!(
                    "the environment has {variable:?}, which is not NAME=value"
                )),
            }
        }
        // An empty home counts as none, as in runc.
        if !env
            .iter()
            .any(|(name, value)| name == "HOME" && !value.is_empty())
        {
            set(&mut env, "HOME", &user.home);
        }
        let working_dir = overrides
            .working_dir
            .as_deref()
            .unwrap_or(&config.working_dir);
        Ok(Self {
            argv,
            env,
            working_dir: format!("/{}", working_dir.trim_start_matches('/')),
            uid: user.uid,
            gid: user.gid,
            groups: user.groups,
            terminal: false,
        })
    }

    /// The value of a variable.
    pub(crate) fn variable(&self, name: &str) -> Option<&str> {
        let found = self.env.iter().find(|(known, _)| known == name)?;
        Some(&found.1)
    }
}

/// The last of several values counts.
fn set(env: &mut Vec<(String, String)>, name: &str, value: &str) {
    match env.iter_mut().find(|(known, _)| known == name) {
        Some((_, old)) => value.clone_into(old),
        None => env.push((name.to_owned(), value.to_owned())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn process(config: &ImageConfig, overrides: &Overrides) -> (Process, Vec<String>) {
        let accounts = Accounts {
            passwd: "root:x:0:0::/root:\napp:x:7:8::/home/app:\n".into(),
            group: "extra:x:9:app\n".into(),
        };
        let mut warnings = Vec::new();
        let process = Process::new(
            vec!["x".into()],
            config,
            overrides,
            &accounts,
            Some("vm"),
            |warning| warnings.push(warning),
        );
        (process.unwrap(), warnings)
    }

    #[test]
    fn defaults_are_those_of_container_engines() {
        let (process, warnings) = process(&ImageConfig::default(), &Overrides::default());
        let env = [
            ("PATH", DEFAULT_PATH),
            ("TERM", "xterm"),
            ("HOSTNAME", "vm"),
            ("HOME", "/root"),
        ];
        let env: Vec<(String, String)> = env.map(|(n, v)| (n.into(), v.into())).into();
        assert_eq!(process.env, env);
        assert_eq!(process.working_dir, "/");
        assert_eq!((process.uid, process.gid), (0, 0));
        assert!(warnings.is_empty());
    }

    #[test]
    fn the_image_goes_over_the_defaults_and_overrides_over_the_image() {
        let config = ImageConfig {
            env: ["A=1", "B=x=y", "A=2", "HOME=", "EMPTY=", "broken", "=no"]
                .map(str::to_owned)
                .into(),
            user: "root".into(),
            working_dir: "srv".into(),
            ..ImageConfig::default()
        };
        let overrides = Overrides {
            env: vec!["B=over".into()],
            user: Some("app".into()),
            working_dir: Some("//data".into()),
            ..Overrides::default()
        };
        let (process, warnings) = process(&config, &overrides);
        assert_eq!(process.variable("A"), Some("2"));
        assert_eq!(process.variable("B"), Some("over"));
        assert_eq!(process.variable("EMPTY"), Some(""));
        assert_eq!(process.variable("HOME"), Some("/home/app"));
        assert_eq!(process.working_dir, "/data");
        assert_eq!((process.uid, process.gid), (7, 8));
        assert_eq!(process.groups, [9]);
        assert_eq!(warnings.len(), 2, "{warnings:?}");
    }
}
