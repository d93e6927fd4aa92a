//! Everything that can be set, in one table each: keys of `config.toml`, variables, and places. The
//! configuration file is checked against it, and documentation and man pages are made from it.

use super::page::Page;

/// A key of `config.toml`.
#[derive(Clone, Copy, Debug)]
pub struct Key {
    /// Its full name; `[]` stands behind an array of tables.
    pub name: &'static str,
    /// What it holds.
    pub kind: &'static str,
    /// What holds where it is not set.
    pub default: &'static str,
    /// What it does.
    pub summary: &'static str,
}

/// Every key.
pub const KEYS: &[Key] = &[
    Key {
        name: "daemon.use",
        kind: "boolean",
        default: "false",
        summary: "Whether image, kernel and cache commands are handed to the daemon, as with --daemon; \
                  --no-daemon overrides it.",
    },
    Key {
        name: "daemon.socket",
        kind: "absolute path",
        default: "see PLACES",
        summary: "Socket of the daemon, for the daemon and for commands that use it; --socket overrides it.",
    },
    Key {
        name: "registry[].prefix",
        kind: "HOST[:PORT][/PATH][:TAG|@DIGEST], or *.HOST",
        default: "location",
        summary: "References that the table is for; of several, the longest decides.",
    },
    Key {
        name: "registry[].location",
        kind: "HOST[:PORT][/PATH]",
        default: "prefix",
        summary: "What the prefix is replaced by.",
    },
    Key {
        name: "registry[].insecure",
        kind: "boolean",
        default: "false",
        summary: "Whether the registry is spoken to in plain HTTP. A certificate that is not trusted is never \
                  accepted; name its authority instead.",
    },
    Key {
        name: "registry[].blocked",
        kind: "boolean",
        default: "false",
        summary: "Whether pulling from it is forbidden.",
    },
    Key {
        name: "registry[].mirror-by-digest-only",
        kind: "boolean",
        default: "false",
        summary: "Whether its mirrors are for references with a digest only.",
    },
    Key {
        name: "registry[].mirror[].location",
        kind: "HOST[:PORT][/PATH]",
        default: "none; it must be set",
        summary: "Where to look before the registry itself; mirrors are tried in their order.",
    },
    Key {
        name: "registry[].mirror[].insecure",
        kind: "boolean",
        default: "false",
        summary: "Whether the mirror is spoken to in plain HTTP.",
    },
    Key {
        name: "registry[].mirror[].pull-from-mirror",
        kind: "all, digest-only or tag-only",
        default: "all",
        summary: "Which references the mirror is for.",
    },
];

/// An environment variable.
#[derive(Clone, Copy, Debug)]
pub struct Variable {
    /// Its name; several are separated by commas.
    pub name: &'static str,
    /// What it does.
    pub summary: &'static str,
}

/// Every variable that the program reads.
pub const VARIABLES: &[Variable] = &[
    Variable {
        name: "BANGER_HOME",
        summary: "Directory for everything that banger keeps, in place of all of PLACES.",
    },
    Variable {
        name: "HOME, XDG_DATA_HOME, XDG_CACHE_HOME, XDG_CONFIG_HOME, XDG_RUNTIME_DIR",
        summary: "Base directories of an ordinary user's places, by the XDG base directory specification; \
                  relative ones are ignored.",
    },
    Variable {
        name: "REGISTRY_AUTH_FILE",
        summary: "File of credentials: the only one that is read. --authfile overrides it.",
    },
    Variable {
        name: "DOCKER_CONFIG",
        summary: "Directory of docker's config.json, whose credentials are read after podman's. The default \
                  is ~/.docker.",
    },
    Variable {
        name: "PATH",
        summary: "Where credential helpers (docker-credential-NAME) and virtual machine monitors are found.",
    },
    Variable {
        name: "http_proxy, https_proxy, all_proxy, no_proxy",
        summary: "Proxies, and hosts that are reached without one; the same in capitals where these are not set.",
    },
    Variable {
        name: "SSL_CERT_FILE",
        summary: "PEM bundle of certificate authorities, in place of the system's.",
    },
    Variable {
        name: "TMPDIR",
        summary: "Directory for archives that arrive through a pipe. The default is /var/tmp.",
    },
    Variable {
        name: "NO_COLOR",
        summary: "Show progress without colours.",
    },
    Variable {
        name: "LISTEN_PID, LISTEN_FDS",
        summary: "Set by systemd when it hands the daemon its socket.",
    },
    Variable {
        name: "COMPLETE",
        summary: "Set by the completion scripts of shells, which call the program to complete its arguments.",
    },
];

/// The page that describes all of it.
#[must_use]
pub fn page() -> Page {
    let mut page = Page::new();
    page.paragraph(
        "banger needs no configuration. What can be set is set, in this order, by an option of the command, by \
         an environment variable, or by a key of `config.toml`. `banger config show` prints what is in force, \
         and where it comes from.",
    );
    page.section("Keys of config.toml");
    page.paragraph(
        "The file is TOML. An unknown key is an error, which names the nearest one that there is. `[[registry]]` \
         tables are those of containers-registries.conf(5).",
    );
    page.table(
        ["key", "value", "default", "meaning"],
        KEYS.iter()
            .map(|key| [key.name, key.kind, key.default, key.summary]),
    );
    page.example(
        "[daemon]\nuse = true\n\n[[registry]]\nprefix = \"docker.io\"\n\n[[registry.mirror]]\nlocation = \
         \"mirror.example.org/hub\"\n",
    );
    page.section("Environment");
    page.table(
        ["variable", "meaning"],
        VARIABLES.iter().map(|one| [one.name, one.summary]),
    );
    page.section("Places");
    page.paragraph(
        "Directories are made when they are needed, with mode 0700. For an ordinary user, the variables in the \
         paths have the defaults of the XDG base directory specification.",
    );
    page.table(
        [
            "what",
            "for root",
            "for an ordinary user",
            "with BANGER_HOME",
        ],
        crate::places::LOCATIONS.iter().map(|place| {
            [
                place.what.to_owned(),
                place.system.to_owned(),
                format!("${}/banger/{}", place.base.variable(), place.below),
                format!("$BANGER_HOME/{}", place.under_home),
            ]
        }),
    );
    page.section("Credentials");
    page.paragraph(
        "Credentials are read where podman and docker keep them: from the file that `--authfile` or \
         REGISTRY_AUTH_FILE names and from no other, or else from these, in this order.",
    );
    page.list([
        "`$XDG_RUNTIME_DIR/containers/auth.json`, or `/run/containers/UID/auth.json`",
        "`$XDG_CONFIG_HOME/containers/auth.json`",
        "`$DOCKER_CONFIG/config.json`, by default `~/.docker/config.json`",
        "`~/.dockercfg`",
    ]);
    page.section("Certificates");
    page.paragraph(
        "A registry's certificate must be signed by an authority of the system, of `--ca-cert FILE`, or of \
         `HOST[:PORT]/*.crt` in one of these directories, which may hold client certificates too \
         (containers-certs.d(5)).",
    );
    page.list([
        "`$XDG_CONFIG_HOME/containers/certs.d`",
        "`/etc/containers/certs.d`",
        "`/etc/docker/certs.d`",
    ]);
    page
}
