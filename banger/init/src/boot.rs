//! The way from the kernel to the program, step by step.

use std::fs::{self, File};
use std::io::{Read, Write};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::ExitCode;

use rustix::mount::MountFlags;
use rustix::process::Signal;
use rustix::system::RebootCommand;

use crate::channel::Channel;
use crate::child::{self, CHILD_WORD};
use crate::choice::{Command, Role, choose};
use crate::event::Event;
use crate::names::signal;
use crate::parameters::{Ending, EventTarget, Parameters};
use crate::process::{Accounts, Process};
use crate::spec::{ImageConfig, Network, RootMode, SPEC_PATH, Spec};
use crate::supervise::{Outcome, Program};
use crate::{Failure, end, modules, mounts, network, power, root, streams};

/// Bytes of `/etc/passwd` and `/etc/group` that are read.
const ACCOUNTS_LIMIT: u64 = 16 << 20;
/// Files that are put over those of the image.
const OWN_FILES: [&str; 3] = ["/etc/resolv.conf", "/etc/hosts", "/etc/hostname"];

/// The whole program. As PID 1 it does not come back.
#[must_use]
pub fn run() -> ExitCode {
    let arguments: Vec<String> = std::env::args().collect();
    if let [_, word, note, outcome] = arguments.as_slice()
        && word == CHILD_WORD
    {
        return child::run(note, outcome).into();
    }
    if rustix::process::getpid() != rustix::process::Pid::INIT {
        say("this is the init of a virtual machine, and runs as PID 1 only");
        return ExitCode::from(2);
    }
    std::panic::set_hook(Box::new(|panic| {
        say(&format!("a fault in banger's init: {panic}").replace('\n', " "));
        end::power_off(Ending::PowerOff);
    }));
    let mut guest = Guest::default();
    let event = match guest.boot() {
        Ok(event) => event,
        Err(Failure { step, error }) => {
            say(&format!("cannot start the program: {step}: {error}"));
            failed(step, error, None)
        }
    };
    end::kill_all();
    end::settle();
    guest.channel.tell(&event);
    end::power_off(guest.parameters.ending)
}

/// Writes a line to the console.
pub(crate) fn say(line: &str) {
    let _ = writeln!(std::io::stderr(), "banger: {line}");
}

fn failed(step: &str, error: String, code: Option<u8>) -> Event {
    Event::Failed {
        step: step.to_owned(),
        error,
        code,
    }
}

/// What is known of the guest, as far as it has come.
#[derive(Default)]
struct Guest {
    parameters: Parameters,
    channel: Channel,
}

impl Guest {
    /// Runs the program to its end; the event tells how it ended.
    fn boot(&mut self) -> Result<Event, Failure> {
        let step = |step| move |error| Failure::new(step, error);
        // The machine ends when its program wants it to.
        let _ = rustix::system::reboot(RebootCommand::CadOff);
        mounts::mount_early().map_err(step("initrd"))?;
        let line = fs::read_to_string("/proc/cmdline").unwrap_or_default();
        let (parameters, problems) = Parameters::parse(&line);
        self.parameters = parameters;
        // A serial line takes no module, and hears of everything that goes wrong.
        if let Some(target @ EventTarget::Terminal(_)) = &self.parameters.events {
            self.channel = Channel::open(target).map_err(step("events"))?;
        }
        let spec = self.spec().map_err(step("spec"))?;
        let config = spec
            .image_config()
            .map_err(|error| Failure::new("spec", format!("the image's configuration: {error}")))?;
        modules::load(&spec.modules);
        if let Some(target @ (EventTarget::Port(_) | EventTarget::Vsock(_))) =
            &self.parameters.events
        {
            self.channel = Channel::open(target).map_err(step("events"))?;
        }
        if let Some(problem) = problems.into_iter().next() {
            return Err(Failure::new("command line", problem));
        }
        let files = enter_root(&spec, &config)?;
        let command =
            choose(&spec.init, &config, &spec.overrides, is_program).map_err(step("program"))?;
        if let Some(hostname) = &spec.hostname {
            rustix::system::sethostname(hostname.as_bytes())
                .map_err(|error| Failure::new("hostname", format!("{hostname}: {error}")))?;
        }
        match command.role {
            Role::Init => Err(self.become_init(&spec, &config, command)),
            Role::Child => self.run_program(&spec, &config, command, &files),
        }
    }

    /// The spec, with what the command line says over it.
    fn spec(&self) -> Result<Spec, String> {
        let bytes = fs::read(SPEC_PATH).map_err(|error| format!("{SPEC_PATH}: {error}"))?;
        let mut spec = Spec::from_json(&bytes).map_err(|error| error.to_string())?;
        let given = &self.parameters;
        spec.init = given.init.clone().unwrap_or(spec.init);
        spec.network = given.network.clone().unwrap_or(spec.network);
        spec.root.uuid = given.root.clone().unwrap_or(spec.root.uuid);
        if given.read_only == Some(true) && spec.root.mode == RootMode::ReadWrite {
            spec.root.mode = RootMode::ReadOnly;
        }
        Ok(spec)
    }

    /// Has an init of the image take the place of this one. Comes back only when it cannot.
    fn become_init(&mut self, spec: &Spec, config: &ImageConfig, command: Command) -> Failure {
        if let Err(error) = mounts::mount_for_init() {
            return Failure::new("mounts", error);
        }
        let process = process(spec, config, command.argv);
        let process = match process {
            Ok(process) => process,
            Err(error) => return Failure::new("program", error),
        };
        self.channel.tell(&Event::Started {
            argv: process.argv.clone(),
        });
        let error = std::process::Command::new(&process.argv[0])
            .args(&process.argv[1..])
            .env_clear()
            .envs(process.env.iter().map(|(name, value)| (name, value)))
            .exec();
        Failure::new(
            "program",
            format!("cannot start {}: {error}", process.argv[0]),
        )
    }

    fn run_program(
        &mut self,
        spec: &Spec,
        config: &ImageConfig,
        command: Command,
        files: &File,
    ) -> Result<Event, Failure> {
        let step = |step| move |error| Failure::new(step, error);
        mounts::mount_for_program().map_err(step("mounts"))?;
        mount_further(spec).map_err(step("mounts"))?;
        set_up_network(spec, files).map_err(step("network"))?;
        let mut process = process(spec, config, command.argv).map_err(step("program"))?;
        make_working_dir(&process).map_err(step("program"))?;
        if spec.root.mode == RootMode::ReadOnly {
            root::seal()
                .map_err(|error| Failure::new("root", format!("stays writable: {error}")))?;
        }
        let mut standard = streams::open(spec.streams.as_ref(), process.uid, process.gid)
            .map_err(|error| Failure::new("streams", error.to_string()))?;
        let drains = std::mem::take(&mut standard.drains);
        process.terminal = standard.terminal;
        let note = note(files).map_err(|error| Failure::new("program", error.to_string()))?;
        let started = Program::start(&process, standard, note).map_err(step("program"))?;
        let mut program = match started {
            Ok(program) => program,
            Err(failure) => {
                say(&failure.error);
                return Ok(failed("program", failure.error, Some(failure.code)));
            }
        };
        let stop_signal = stop_signal(config);
        let running = program.running.clone();
        self.channel.listen(move |signal| running.signal(signal));
        let running = program.running.clone();
        power::watch(move || running.stop(stop_signal));
        self.channel.tell(&Event::Started {
            argv: process.argv.clone(),
        });
        let outcome = program.wait(stop_signal);
        // What still runs may hold the streams open.
        end::kill_all();
        for drain in drains {
            let _ = drain.join();
        }
        Ok(match outcome {
            Outcome::Code(code) => Event::Exited {
                code: Some(code),
                signal: None,
            },
            Outcome::Signal(signal) => Event::Exited {
                code: None,
                signal: Some(signal),
            },
        })
    }
}

/// Finds the root filesystem, mounts it and enters it. Returns the folder for files that go over the image's.
fn enter_root(spec: &Spec, config: &ImageConfig) -> Result<File, Failure> {
    let step = |error| Failure::new("root", error);
    let device = root::find(&spec.root.uuid).map_err(step)?;
    let working_dir = spec
        .overrides
        .working_dir
        .as_ref()
        .unwrap_or(&config.working_dir);
    let targets = spec.mounts.iter().map(|mount| mount.target.as_str());
    let wanted: Vec<&str> = mounts::MOUNT_POINTS
        .into_iter()
        .chain(OWN_FILES)
        .chain([working_dir.as_str()])
        .chain(targets)
        .collect();
    root::mount_root(&device, spec.root.mode, &wanted).map_err(step)?;
    let files = File::open(mounts::FILES).map_err(|error| step(error.to_string()))?;
    mounts::leave_early();
    root::enter().map_err(step)?;
    Ok(files)
}

fn is_program(path: &str) -> bool {
    fs::metadata(path)
        .is_ok_and(|metadata| metadata.is_file() && metadata.permissions().mode() & 0o111 != 0)
}

/// Mounts the spec's further filesystems.
fn mount_further(spec: &Spec) -> Result<(), String> {
    for further in &spec.mounts {
        let device = root::find(&further.uuid)?;
        mounts::make_directory(Path::new(&further.target))?;
        let flags = match further.read_only {
            true => MountFlags::RDONLY,
            false => MountFlags::empty(),
        };
        root::mount_ext4(&device, &further.target, flags)?;
    }
    Ok(())
}

/// Sets the network up and puts the files over the image's that go with it.
fn set_up_network(spec: &Spec, files: &File) -> Result<(), String> {
    let (address, problem) = network::set_up(&spec.network);
    if let Some(problem) = problem {
        if let Network::Static(_) = spec.network {
            return Err(problem);
        }
        say(&format!("going on without a network: {problem}"));
    }
    let hostname = spec.hostname.as_deref();
    mounts::put_over(
        files,
        OWN_FILES[1],
        &network::hosts(hostname, address.as_ref()),
    )?;
    if let Some(hostname) = hostname {
        mounts::put_over(files, OWN_FILES[2], &format!("{hostname}\n"))?;
    }
    match network::resolver(address.as_ref()) {
        Some(text) => mounts::put_over(files, OWN_FILES[0], &text),
        None => Ok(()),
    }
}

fn process(spec: &Spec, config: &ImageConfig, argv: Vec<String>) -> Result<Process, String> {
    let accounts = Accounts {
        passwd: read_text("/etc/passwd"),
        group: read_text("/etc/group"),
    };
    Process::new(
        argv,
        config,
        &spec.overrides,
        &accounts,
        spec.hostname.as_deref(),
        |warning| say(&warning),
    )
}

/// A file of the image as text; nothing where it cannot be read.
fn read_text(path: &str) -> String {
    let mut bytes = Vec::new();
    if let Ok(file) = File::open(path) {
        // What cannot be read to its end counts as far as it goes.
        let _ = file.take(ACCOUNTS_LIMIT).read_to_end(&mut bytes);
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

/// Makes a working directory that the image lacks, for the user, as podman does.
fn make_working_dir(process: &Process) -> Result<(), String> {
    let path = Path::new(&process.working_dir);
    if path.is_dir() {
        return Ok(());
    }
    mounts::make_directory(path)?;
    std::os::unix::fs::chown(path, Some(process.uid), Some(process.gid))
        .map_err(|error| format!("cannot give {} to its user: {error}", path.display()))
}

/// A file without a name.
fn note(files: &File) -> std::io::Result<File> {
    use std::os::fd::AsRawFd;
    let path = format!("/proc/self/fd/{}/program", files.as_raw_fd());
    let file = File::options()
        .read(true)
        .write(true)
        .create_new(true)
        .open(&path)?;
    fs::remove_file(&path)?;
    Ok(file)
}

/// The signal that asks the program to end.
fn stop_signal(config: &ImageConfig) -> Signal {
    match config.stop_signal.as_str() {
        "" => Signal::TERM,
        name => signal(name).unwrap_or_else(|| {
            say(&format!(
                "unknown StopSignal {name:?}: SIGTERM takes its place"
            ));
            Signal::TERM
        }),
    }
}
