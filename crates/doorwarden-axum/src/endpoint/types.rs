//! The schemas of the types that operations take and answer.

use schemars::JsonSchema;
use schemars::generate::{SchemaGenerator, SchemaSettings};
use serde_json::{Map, Value};

/// Collects schemas, and gives references to them.
#[derive(Debug)]
pub(crate) struct Types {
    input: SchemaGenerator,
    output: SchemaGenerator,
}

impl Default for Types {
    fn default() -> Self {
        let settings = || {
            SchemaSettings::draft2020_12().with(|settings| {
                settings.definitions_path = "/components/schemas".into();
                settings.meta_schema = None;
            })
        };
        Self {
            input: settings().for_deserialize().into_generator(),
            output: settings().for_serialize().into_generator(),
        }
    }
}

impl Types {
    /// The schema of something that is read.
    pub(crate) fn input<T: JsonSchema>(&mut self) -> Value {
        self.input.subschema_for::<T>().into()
    }

    /// The schema of something that is written.
    pub(crate) fn output<T: JsonSchema>(&mut self) -> Value {
        self.output.subschema_for::<T>().into()
    }

    /// A schema that was collected under the name of its type, to be changed at run time.
    pub(crate) fn named(&mut self, name: &str) -> Option<&mut Map<String, Value>> {
        let found = match self.input.definitions().contains_key(name) {
            true => self.input.definitions_mut().get_mut(name),
            false => self.output.definitions_mut().get_mut(name),
        };
        found.and_then(Value::as_object_mut)
    }

    /// The schema that a reference refers to, or the schema itself.
    pub(crate) fn resolved<'a>(&'a self, schema: &'a Value) -> &'a Value {
        let name = schema["$ref"].as_str().and_then(|path| path.rsplit('/').next());
        let found = name.and_then(|name| {
            self.input.definitions().get(name).or_else(|| self.output.definitions().get(name))
        });
        found.unwrap_or(schema)
    }

    /// All schemas by name.
    pub(crate) fn into_definitions(mut self) -> Map<String, Value> {
        let mut all = self.input.take_definitions(true);
        all.extend(self.output.take_definitions(true));
        all
    }
}
