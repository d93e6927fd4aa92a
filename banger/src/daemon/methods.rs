//! Every method by name, and the document that describes them all.

use std::collections::BTreeMap;

use schemars::generate::{SchemaGenerator, SchemaSettings};
use schemars::{JsonSchema, Schema};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use super::operations::RunningOperation;
use super::protocol::{NAME_SHOWN, OP_ID, PROGRESS, Refusal, excerpt};
use super::server::Shared;
use crate::error::{Error, ErrorKind};
use crate::operation::{self, Operation, Pace, Watch};
use crate::progress::ProgressEvent;

/// Values of one parameter.
const LIST_LIMIT: usize = 1000;

/// What a call comes to: run on a thread that may block.
pub(super) type Job = Box<dyn FnOnce(&Shared, &Watch) -> Result<Value, Error> + Send>;

/// A method.
pub(super) struct Method {
    /// How long it may take; none for one that looks at the daemon's memory only.
    pub(super) pace: Option<Pace>,
    summary: String,
    parameters: Map<String, Value>,
    required: Vec<String>,
    reply: Value,
    prepare: Box<dyn Fn(Value) -> Result<Job, serde_json::Error> + Send + Sync>,
}

/// All methods.
pub(super) struct Methods {
    by_name: BTreeMap<&'static str, Method>,
    schemas: Value,
}

/// Tells about the daemon and where it works.
#[derive(Serialize, Deserialize, JsonSchema)]
struct SystemInfo {}

/// The daemon and where it works.
#[derive(Serialize, Deserialize, JsonSchema)]
struct System {
    /// Version of the program.
    version: String,
    /// Process id.
    pid: u32,
    /// When it was started: RFC 3339 in UTC.
    started: String,
    /// Folder of the images.
    images: String,
    /// Folder of the kernels.
    kernels: String,
    /// Folder of the layer cache.
    cache: String,
    /// Open connections.
    connections: usize,
}

/// What a daemon is asked about itself; unlike an operation, it means nothing without one.
pub trait Question: Serialize {
    /// The name by which it is asked.
    const METHOD: &'static str;
    /// What comes back.
    type Reply: DeserializeOwned;
}

/// Lists the operations that run now.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
pub struct OpList {}

impl Question for OpList {
    const METHOD: &'static str = "op.list";
    type Reply = OpListed;
}

/// The operations that run now.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
pub struct OpListed {
    /// The operations, oldest first, without this one.
    pub operations: Vec<RunningOperation>,
}

/// Tells an operation to end; what it had half-made is removed before its own call is answered.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
pub struct OpCancel {
    /// The operation.
    pub op_id: String,
}

impl Question for OpCancel {
    const METHOD: &'static str = "op.cancel";
    type Reply = OpCancelled;
}

/// The operation was told.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
pub struct OpCancelled {
    /// The operation.
    pub cancelled: String,
}

/// Describes every method in the form of <https://spec.open-rpc.org>.
#[derive(Serialize, Deserialize, JsonSchema)]
struct RpcDiscover {}

impl Methods {
    /// All there are.
    pub(super) fn all() -> Self {
        let settings = SchemaSettings::draft2020_12().with(|settings| {
            settings.definitions_path = "/components/schemas".into();
            settings.meta_schema = None;
        });
        let mut table = Table {
            by_name: BTreeMap::new(),
            generator: settings.into_generator(),
        };
        table.operation::<operation::ImagePull>();
        table.operation::<operation::ImageRegister>();
        table.operation::<operation::ImagePromote>();
        table.operation::<operation::ImageList>();
        table.operation::<operation::ImageShow>();
        table.operation::<operation::ImageRename>();
        table.operation::<operation::ImageRemove>();
        table.operation::<operation::ImageBootConfig>();
        table.operation::<operation::ImageFiles>();
        table.operation::<operation::ImageReadFile>();
        table.operation::<operation::ImageCopyOut>();
        table.operation::<operation::KernelImport>();
        table.operation::<operation::KernelList>();
        table.operation::<operation::KernelShow>();
        table.operation::<operation::KernelRemove>();
        table.operation::<operation::CacheShow>();
        table.operation::<operation::CacheVerify>();
        table.operation::<operation::CachePrune>();
        table.operation::<operation::ConfigShow>();
        table.operation::<operation::SourceInspect>();
        table.server("system.info", |_: SystemInfo, shared| Ok(shared.describe()));
        table.server(OpList::METHOD, |_: OpList, shared| {
            let operations = shared.operations.list();
            Ok(OpListed { operations })
        });
        table.server(OpCancel::METHOD, |request: OpCancel, shared| {
            shared.operations.cancel(&request.op_id)?;
            Ok(OpCancelled {
                cancelled: request.op_id,
            })
        });
        table.server("rpc.discover", |_: RpcDiscover, shared| {
            Ok(shared.methods.discover())
        });
        table.generator.subschema_for::<ProgressEvent>();
        Self {
            by_name: table.by_name,
            schemas: Value::Object(table.generator.take_definitions(true)),
        }
    }

    /// Finds the method of a call and reads its parameters.
    pub(super) fn prepare(
        &self,
        name: &str,
        params: Map<String, Value>,
    ) -> Result<(&Method, Job), Refusal> {
        let Some(method) = self.by_name.get(name) else {
            let name = excerpt(name, NAME_SHOWN);
            let message =
                format!("there is no method {name:?}; rpc.discover lists those there are");
            return Err(Refusal::UnknownMethod(message));
        };
        let unknown = params
            .keys()
            .find(|key| !method.parameters.contains_key(*key));
        if let Some(unknown) = unknown {
            let known: Vec<&str> = method.parameters.keys().map(String::as_str).collect();
            let unknown = excerpt(unknown, NAME_SHOWN);
            return Err(Refusal::InvalidParams(format!(
                "{name} has no parameter {unknown:?}; it has {}",
                known.join(", ")
            )));
        }
        for (key, value) in &params {
            if let Some(count) = value.as_array().map(Vec::len).filter(|n| *n > LIST_LIMIT) {
                let message = format!("{key} has {count} values (limit {LIST_LIMIT})");
                return Err(Refusal::InvalidParams(message));
            }
        }
        let job = (method.prepare)(Value::Object(params))
            .map_err(|error| Refusal::InvalidParams(format!("parameters of {name}: {error}")))?;
        Ok((method, job))
    }

    /// The description of all methods.
    fn discover(&self) -> Value {
        let methods: Vec<Value> = self
            .by_name
            .iter()
            .map(|(name, method)| method.describe(name))
            .collect();
        let kinds: Map<String, Value> = ErrorKind::ALL
            .iter()
            .map(|kind| {
                let error = json!({ "code": kind.exit_code(), "message": kind.code() });
                (kind.code().to_owned(), error)
            })
            .collect();
        json!({
            "openrpc": "1.3.2",
            "info": { "title": "banger", "version": env!("CARGO_PKG_VERSION") },
            "methods": methods,
            "components": { "schemas": self.schemas, "errors": kinds },
        })
    }
}

impl Method {
    fn describe(&self, name: &str) -> Value {
        let params: Vec<Value> = self
            .parameters
            .iter()
            .map(|(name, schema)| {
                json!({ "name": name, "required": self.required.contains(name), "schema": schema })
            })
            .collect();
        json!({
            "name": name,
            "summary": self.summary,
            "paramStructure": "by-name",
            "params": params,
            "result": { "name": "reply", "schema": self.reply },
        })
    }
}

struct Table {
    by_name: BTreeMap<&'static str, Method>,
    generator: SchemaGenerator,
}

impl Table {
    fn operation<O: Operation>(&mut self) {
        let prepare = |params| {
            let operation: O = serde_json::from_value(params)?;
            Ok(job(move |shared, watch| {
                operation.check_portable()?;
                operation.run(&shared.context, watch)
            }))
        };
        self.add::<O, O::Reply>(O::METHOD, Some(O::PACE), Box::new(prepare));
    }

    /// A method of the daemon itself.
    fn server<P, R>(&mut self, name: &'static str, run: fn(P, &Shared) -> Result<R, Error>)
    where
        P: DeserializeOwned + JsonSchema + Send + 'static,
        R: Serialize + JsonSchema + 'static,
    {
        let prepare = move |params| {
            let request: P = serde_json::from_value(params)?;
            Ok(job(move |shared, _| run(request, shared)))
        };
        self.add::<P, R>(name, None, Box::new(prepare));
    }

    fn add<P: JsonSchema, R: JsonSchema>(
        &mut self,
        name: &'static str,
        pace: Option<Pace>,
        prepare: Box<dyn Fn(Value) -> Result<Job, serde_json::Error> + Send + Sync>,
    ) {
        let schema = P::json_schema(&mut self.generator);
        let text =
            |schema: &Schema, key: &str| schema.get(key).and_then(Value::as_str).map(str::to_owned);
        let mut parameters = match schema.get("properties") {
            Some(Value::Object(properties)) => properties.clone(),
            _ => Map::new(),
        };
        let progress = json!({
            "type": "boolean",
            "default": false,
            "description": "Whether progress is told, by notifications.",
        });
        parameters.insert(PROGRESS.into(), progress);
        let required = schema
            .get("required")
            .and_then(Value::as_array)
            .map(|names| {
                let names = names.iter().filter_map(Value::as_str);
                names.map(str::to_owned).collect()
            });
        let method = Method {
            pace,
            summary: text(&schema, "description").unwrap_or_default(),
            parameters,
            required: required.unwrap_or_default(),
            reply: with_op_id(self.generator.subschema_for::<R>()),
            prepare,
        };
        self.by_name.insert(name, method);
    }
}

/// Every result names its operation, beside the members of the reply.
fn with_op_id(reply: Schema) -> Value {
    let op_id = json!({ "type": "string", "description": "The operation." });
    json!({
        "allOf": [reply, {
            "type": "object",
            "properties": { OP_ID: op_id },
            "required": [OP_ID],
        }],
    })
}

fn job<R: Serialize>(
    run: impl FnOnce(&Shared, &Watch) -> Result<R, Error> + Send + 'static,
) -> Job {
    Box::new(move |shared, watch| {
        serde_json::to_value(run(shared, watch)?).map_err(|error| {
            Error::new(ErrorKind::Failure, "write the reply as JSON").with_source(error)
        })
    })
}

impl Shared {
    fn describe(&self) -> System {
        let places = &self.context.config.places;
        System {
            version: env!("CARGO_PKG_VERSION").into(),
            pid: std::process::id(),
            started: self.started.clone(),
            images: places.images.display().to_string(),
            kernels: places.kernels.display().to_string(),
            cache: places.cache.display().to_string(),
            connections: self.connections(),
        }
    }
}
