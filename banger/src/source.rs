//! Where an image comes from, as the user names it: opened, with all that this takes.

use std::path::PathBuf;
use std::sync::Arc;

use oci_flatten::apply::{ApplyError, RoleProblem};
use oci_flatten::cache::{Cache, CorruptBlob};
use oci_flatten::flatten::CancellationToken;
use oci_flatten::image::Image;
use oci_flatten::limits::Limits;
use oci_flatten::lock::Waiter;
use oci_flatten::platform::Platform;
use oci_flatten::progress::Observer;
use oci_flatten::reference::Reference;
use oci_flatten::registry::{CertificateProblem, PullOptions, RegistrySettings, RegistrySource};
use oci_flatten::source::{OpenOptions, Source, SourceName, open_local};
use oci_flatten::threads;
use tokio::runtime::Handle;

use crate::error::{Error, ErrorKind};

/// How sources are opened.
#[derive(Clone, Debug)]
pub struct SourceOptions {
    /// The platform to choose where there is a choice.
    pub platform: Platform,
    /// Bounds on documents.
    pub limits: Limits,
    /// Whether a `tar:` may lack its end marker.
    pub allow_truncated_tar: bool,
    /// Folder for an archive that comes through a pipe; it is kept there in a file without a name.
    pub spool_dir: PathBuf,
    /// How registries are reached; without it, only images on this machine are.
    pub registry: Option<RegistryAccess>,
}

/// How registries are reached.
#[derive(Clone, Debug)]
pub struct RegistryAccess {
    /// Folder of the layer cache.
    pub cache_dir: PathBuf,
    /// How registries are spoken to.
    pub settings: Arc<RegistrySettings>,
}

impl Default for SourceOptions {
    /// Images on this machine, for Linux on its architecture; the default limits; `/var/tmp`.
    fn default() -> Self {
        Self {
            platform: Platform::linux_here(),
            limits: Limits::default(),
            allow_truncated_tar: false,
            spool_dir: PathBuf::from("/var/tmp"),
            registry: None,
        }
    }
}

/// Opens the image that `name` stands for; one of a registry begins to download.
///
/// # Errors
///
/// [`NotFound`](crate::ErrorKind::NotFound) for a missing file, layout, repository, tag or platform;
/// [`Integrity`](crate::ErrorKind::Integrity) for documents that are malformed or differ from their
/// digests; [`Unauthorized`](crate::ErrorKind::Unauthorized) and [`Network`](crate::ErrorKind::Network)
/// as the registry has it.
pub async fn open(
    name: &SourceName,
    options: &SourceOptions,
    observer: &Arc<dyn Observer>,
    cancellation: &CancellationToken,
) -> Result<Arc<dyn Source>, Error> {
    match name {
        SourceName::Local(local) => {
            let options = OpenOptions {
                platform: options.platform.clone(),
                limits: options.limits.clone(),
                allow_truncated_tar: options.allow_truncated_tar,
                spool_dir: options.spool_dir.clone(),
            };
            let source = open_local(local, &options).await;
            Ok(Arc::from(source.map_err(explain_tar)?))
        }
        SourceName::Registry(reference) => {
            let opening = Opening::new(reference, options, observer, cancellation)?;
            let settings = opening.access.settings.clone();
            let runtime = Handle::current();
            // Files of credentials and certificates may never answer, and must not keep anyone from saying so.
            let source = threads::run("open", move || runtime.block_on(opening.open())).await?;
            let source = source.map_err(|error| explain(error, reference, &settings))?;
            Ok(Arc::new(source))
        }
    }
}

/// Reads the documents of the image that `name` stands for, and none of its layers.
///
/// # Errors
///
/// Those of [`open`].
pub async fn inspect(
    name: &SourceName,
    options: &SourceOptions,
    observer: &Arc<dyn Observer>,
    cancellation: &CancellationToken,
) -> Result<Image, Error> {
    let SourceName::Registry(reference) = name else {
        let source = open(name, options, observer, cancellation).await?;
        return Ok(source.image().clone());
    };
    let opening = Opening::new(reference, options, observer, cancellation)?;
    let settings = opening.access.settings.clone();
    let runtime = Handle::current();
    let image = threads::run("inspect", move || runtime.block_on(opening.inspect())).await?;
    image.map_err(|error| explain(error, reference, &settings))
}

/// An image of a registry that is to be opened.
struct Opening {
    reference: Reference,
    access: RegistryAccess,
    options: SourceOptions,
    observer: Arc<dyn Observer>,
    cancellation: CancellationToken,
}

impl Opening {
    fn new(
        reference: &Reference,
        options: &SourceOptions,
        observer: &Arc<dyn Observer>,
        cancellation: &CancellationToken,
    ) -> Result<Self, Error> {
        let access = options.registry.as_ref().ok_or_else(|| {
            let message = format!("{reference} is in a registry, and none is to be asked");
            Error::new(ErrorKind::Usage, message)
        })?;
        Ok(Self {
            reference: reference.clone(),
            access: access.clone(),
            options: options.clone(),
            observer: observer.clone(),
            cancellation: cancellation.clone(),
        })
    }

    fn pull_options(&self) -> oci_flatten::error::Result<PullOptions> {
        let waiter = Waiter {
            observer: self.observer.clone(),
            cancellation: self.cancellation.clone(),
        };
        Ok(PullOptions {
            settings: self.access.settings.clone(),
            cache: Cache::open_as(self.access.cache_dir.clone(), waiter)?,
            platform: self.options.platform.clone(),
            limits: self.options.limits.clone(),
            observer: self.observer.clone(),
        })
    }

    async fn open(self) -> oci_flatten::error::Result<RegistrySource> {
        let options = self.pull_options()?;
        tokio::select! {
            source = RegistrySource::open(&self.reference, &options) => source,
            () = self.cancellation.cancelled() => Err(oci_flatten::error::Error::cancelled()),
        }
    }

    async fn inspect(self) -> oci_flatten::error::Result<Image> {
        let options = self.pull_options()?;
        tokio::select! {
            image = RegistrySource::inspect(&self.reference, &options) => image,
            () = self.cancellation.cancelled() => Err(oci_flatten::error::Error::cancelled()),
        }
    }
}

/// Adds what the user can do about a registry that refuses, or that is not believed. It names the server that did so,
/// which may be a mirror or one that a registry redirects to.
fn explain(
    error: oci_flatten::error::Error,
    reference: &Reference,
    settings: &RegistrySettings,
) -> Error {
    let certificate = CertificateProblem::of(&error);
    let server = error.server().unwrap_or(reference.domain()).to_owned();
    let places = settings.rules.locate(reference);
    let error = Error::from(error);
    match (error.kind(), certificate) {
        (ErrorKind::Unauthorized, _) => match places {
            // A registry that the configuration blocks was not asked, and no login would help.
            Err(_) => error,
            Ok(places) if places.iter().any(|place| place.domain == server) => {
                error.with_hint(format!(
                    "log in with `podman login {server}` or `docker login {server}`, or name a file of credentials with --authfile"
                ))
            }
            Ok(_) => error.with_hint(format!(
                "ask whoever runs {} why {server}, where it redirects to, refuses; a login does not reach it",
                reference.domain()
            )),
        },
        (ErrorKind::Network, Some(CertificateProblem::Expired | CertificateProblem::NotYetValid)) => {
            error.with_hint(format!(
                "check the clock of this machine, or have the certificate of {server} renewed"
            ))
        }
        (ErrorKind::Network, Some(CertificateProblem::WrongName)) => error.with_hint(format!(
            "use a name that the certificate of {server} is for"
        )),
        (ErrorKind::Network, Some(_)) => error.with_hint(format!(
            "name the authority of its certificate with --ca-cert, or put it into ~/.config/containers/certs.d/{server}/ca.crt"
        )),
        _ => error,
    }
}

/// Adds what the user can do about a `tar:` that is no root filesystem, or not a whole one.
pub(crate) fn explain_tar(error: oci_flatten::error::Error) -> Error {
    type Applying = ApplyError<ext4_writer::Error>;
    let cause = std::error::Error::source(&error).and_then(|source| {
        match source.downcast_ref::<Applying>() {
            Some(Applying::Role(problem)) => Some(problem),
            _ => source.downcast_ref::<RoleProblem>(),
        }
    });
    let hint = match cause {
        Some(RoleProblem::Empty) => {
            "the command that was to write it has failed, or has written elsewhere"
        }
        Some(RoleProblem::NoEndMarker(_)) => {
            "transfer it again; if it is known to be whole, add --allow-truncated-tar"
        }
        Some(RoleProblem::OciLayout) => "write oci: in place of tar:",
        Some(RoleProblem::OciArchive) => "write oci-archive: in place of tar:",
        Some(RoleProblem::DockerArchive) => "write docker-archive: in place of tar:",
        _ => return error.into(),
    };
    Error::from(error).with_hint(hint)
}

/// Whether a failure comes from a cached blob that had changed on disk. It has been thrown away, so that
/// opening and flattening the image once more fetches it anew.
#[must_use]
pub fn is_corrupt_cache(error: &Error) -> bool {
    CorruptBlob::is_cause_of(error)
}
