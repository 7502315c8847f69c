//! Fine-tuning: training that starts from the weights of a trained prior.

use tch::nn::VarStore;
use vqkit_priors::{ClassRows, ConditionNames, OldClasses, PriorConfig, PriorSpec};
use vqkit_recipe::{InvalidRequest, Modality, PriorFinetune, PriorFinetunedPart, Recipe, stage_names};
use vqkit_run::{Context, Run, Tensors};
use vqkit_torch::{
    TorchError, lora,
    weights::{self, Mismatch},
};

use crate::{
    adapters::{self, Part},
    error::Result,
    prior::source::{self, PriorSource, TrainedPrior},
};

/// A prior of a recipe that starts from another's weights.
#[derive(Debug, Clone, Copy)]
pub struct Finetuned<'r> {
    recipe: &'r Recipe,
    level: usize,
    config: &'r PriorFinetune,
    spec: &'r PriorSpec,
}

impl<'r> Finetuned<'r> {
    /// The prior of a level, built for `spec`; `None` where it starts from random weights.
    pub fn of(recipe: &'r Recipe, level: usize, spec: &'r PriorSpec) -> Option<Self> {
        let config = recipe.priors.get(level)?.finetune.as_ref()?;
        Some(Self { recipe, level, config, spec })
    }

    /// Checks what can be checked without reading weights: that the prior is there, of the same type and architecture,
    /// for tokens of the same codebooks; and that something is trained.
    ///
    /// # Errors
    /// [`InvalidRequest`] that names the key and lists what differs.
    pub fn check(&self, context: &Context) -> Result<()> {
        let source = PriorSource::open(&self.config.from, self.level, context)?;
        let Some(trained) = &source.trained else { return Ok(()) };
        self.check_fits(trained)?;
        let shapes = weights::shapes(&source.weights)?;
        self.check_trained(shapes.keys().map(String::as_str))?;
        match &self.config.lora {
            None => Ok(()),
            Some(lora) => {
                let variables = shapes.iter().map(|(name, shape)| (name.as_str(), shape.len()));
                adapters::check(lora, &self.section(), variables, |name| self.part_of(name))
            }
        }
    }

    /// Loads the other prior's weights into the variables of this one, which has the classes `classes`.
    ///
    /// # Errors
    /// As [`check`](Self::check); when the weights do not fit.
    pub fn begin(&self, vs: &mut VarStore, classes: &[String], run: &Run, context: &Context) -> Result<()> {
        let source = PriorSource::open(&self.config.from, self.level, context)?;
        let variables = weights::tensors(vs);
        let mut state = source.read()?;
        let old = match source.trained {
            None => OldClasses::Counted(self.counted(&state, &variables)),
            Some(trained) => {
                self.check_fits(&trained)?;
                self.note_other_tokenizer(&trained, run, context);
                self.network().member().fit_positions(&mut state, &trained.spec, self.spec)?;
                trained.classes
            }
        };
        if self.spec.num_classes.is_some() {
            let rows = ClassRows::new(&old, classes);
            self.rearrange_classes(&mut state, &variables, &rows)?;
            self.note_classes(&old, &rows, context);
        }
        let state = of_kinds(state, &variables);
        let from = source.weights.display().to_string();
        Mismatch::check(&from, &variables, &state).map_err(TorchError::from)?;
        Ok(weights::assign(&state, vs)?)
    }

    /// Freezes the variables that are not trained, and makes the low-rank updates of those that have one.
    ///
    /// # Errors
    /// When the recipe's targets match no layer, or nothing is trained.
    pub fn freeze(&self, vs: &VarStore) -> Result<Option<lora::Lora>> {
        if let Some(lora) = &self.config.lora {
            return Ok(Some(adapters::adapt(lora, &self.section(), vs, |name| self.part_of(name))?));
        }
        let variables = weights::trainable(vs);
        self.check_trained(variables.iter().map(|(name, _)| name.as_str()))?;
        for (_, variable) in variables.into_iter().filter(|(name, _)| self.part_of(name) == Part::Frozen) {
            let _ = variable.set_requires_grad(false);
        }
        Ok(None)
    }

    /// What becomes of a variable: what reads the conditions is trained whole.
    fn part_of(&self, name: &str) -> Part {
        match (self.names().reads_conditions(name), self.config.train) {
            (true, _) => Part::Whole,
            (false, PriorFinetunedPart::All) => Part::Adapted,
            (false, PriorFinetunedPart::Conditions) => Part::Frozen,
        }
    }

    fn network(&self) -> &PriorConfig {
        &self.recipe.priors[self.level].network
    }

    fn names(&self) -> ConditionNames {
        self.network().member().condition_names()
    }

    fn section(&self) -> String {
        format!("prior.{}.finetune", self.level)
    }

    /// Checks that some of the variables with these names are trained.
    fn check_trained<'n>(&self, mut names: impl Iterator<Item = &'n str>) -> Result<()> {
        match names.any(|name| self.part_of(name) != Part::Frozen) {
            true => Ok(()),
            false => {
                let reason =
                    "\"conditions\" trains nothing: this prior has no variables that only conditions pass through";
                Err(InvalidRequest::key(format!("{}.train", self.section()), reason).into())
            }
        }
    }

    fn check_fits(&self, trained: &TrainedPrior) -> Result<()> {
        let mut differences = PriorFinetune::differences(&trained.network, self.network())?;
        let [theirs, ours] = [&trained.spec, self.spec].map(|spec| format!("{:?}", spec.target.sizes));
        if theirs != ours {
            differences.push(("codebook sizes".to_owned(), theirs, ours));
        }
        if differences.is_empty() {
            return Ok(());
        }
        let from = self.config.from.display();
        let listed: Vec<String> = differences
            .into_iter()
            .map(|(key, theirs, ours)| format!("{key} is {theirs} there and {ours} here"))
            .collect();
        let reason = format!("the prior of {from} is another network: {}", listed.join("; "));
        Err(InvalidRequest::key(source::key(self.level), reason).into())
    }

    /// The number of classes in a file that lies in no run, whose tables have a null class if those of `variables` have
    /// one.
    fn counted(&self, state: &Tensors, variables: &Tensors) -> i64 {
        let names = self.names();
        let rows = |tensors: &Tensors| {
            let mut tables = tensors.iter().filter(|(name, _)| names.is_class_table(name));
            tables.next().map_or(0, |(_, table)| table.size()[0])
        };
        let null = rows(variables) - self.spec.num_classes.unwrap_or(0);
        (rows(state) - null).max(0)
    }

    fn rearrange_classes(&self, state: &mut Tensors, variables: &Tensors, rows: &ClassRows) -> Result<()> {
        let names = self.names();
        let mut tables = 0;
        for (name, table) in state.iter_mut().filter(|(name, _)| names.is_class_table(name)) {
            let Some(variable) = variables.get(name) else { continue };
            *table = rows.rearrange(table, variable.size()[0])?;
            tables += 1;
        }
        if tables == 0 && !rows.is_identity() {
            let reason =
                "the classes differ, and this prior has no table of its own for classes (vocabulary = \"shared\")";
            return Err(InvalidRequest::key(source::key(self.level), reason).into());
        }
        Ok(())
    }

    fn note_classes(&self, old: &OldClasses, rows: &ClassRows, context: &Context) {
        let (kept, all) = (rows.kept(), rows.rows.len());
        let note = match old {
            OldClasses::Named(_) => {
                format!("{kept} of {all} classes keep the embeddings of the classes of the same names")
            }
            OldClasses::Counted(0) => return,
            OldClasses::Counted(count) if kept == 0 => {
                format!(
                    "the names of the {count} classes are not known, so the embeddings of all {all} classes are new"
                )
            }
            OldClasses::Counted(_) => {
                format!("the names of the classes are not known, so all {all} keep the embeddings of the same numbers")
            }
        };
        context.note(&self.stage(), format_args!("{note}"));
    }

    fn note_other_tokenizer(&self, trained: &TrainedPrior, run: &Run, context: &Context) {
        let own = run.output(Modality::Image.stage()).map(|output| &output.fingerprint);
        if trained.tokenizer.as_ref() != own {
            let from = self.config.from.display();
            let note = format_args!("the tokenizer is not that of {from}: its tokens may have other meanings");
            context.note(&self.stage(), note);
        }
    }

    fn stage(&self) -> String {
        stage_names::stages(self.recipe)[self.level].clone()
    }
}

/// Floats in the kinds of the variables of the same names.
fn of_kinds(state: Tensors, variables: &Tensors) -> Tensors {
    let convert = |(name, value): (String, tch::Tensor)| {
        let wanted = variables.get(&name).filter(|wanted| wanted.is_floating_point() && value.is_floating_point());
        let value = wanted.map_or_else(|| value.shallow_clone(), |wanted| value.to_kind(wanted.kind()));
        (name, value)
    };
    state.into_iter().map(convert).collect()
}
