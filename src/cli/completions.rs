//! `cronclave completions`: what a shell needs to complete commands, flags, and the names of jobs.

use std::process::ExitCode;

use clap::{Args, Command, CommandFactory};
use clap_complete::Shell;

use super::{Cli, Context, Failure, out};

/// Print a script that completes commands, flags and the names of jobs.
#[derive(Debug, Args)]
#[command(after_long_help = "Examples:
  cronclave completions bash > ~/.local/share/bash-completion/completions/cronclave
  cronclave completions zsh  > ~/.zfunc/_cronclave                 (a directory of $fpath)
  cronclave completions fish > ~/.config/fish/completions/cronclave.fish
  cronclave completions elvish >> ~/.config/elvish/rc.elv
  cronclave completions powershell >> $PROFILE")]
pub(super) struct Completions {
    /// For this shell
    #[arg(value_enum, value_name = "SHELL")]
    shell: Shell,
}

/// Print the names of jobs.
#[derive(Debug, Args)]
pub(super) struct Complete {
    /// What is completed
    #[arg(value_parser = ["jobs"])]
    _what: String,
}

impl Completions {
    pub(super) fn run(self) -> Result<ExitCode, Failure> {
        let mut program = Cli::command();
        let mut script = Vec::new();
        clap_complete::generate(self.shell, &mut program, "cronclave", &mut script);
        let script = String::from_utf8_lossy(&script).into_owned();
        out::print(with_jobs(self.shell, &script, &takers(&program)))?;
        Ok(ExitCode::SUCCESS)
    }
}

impl Complete {
    /// Nothing is said when there is nothing to say: it is typed by a shell, in the middle of somebody's line.
    pub(super) fn run(self, context: &Context) -> Result<ExitCode, Failure> {
        let config = context.config(&context.paths()).map_err(|_| Failure::new(Failure::NO, ""))?;
        let names: Vec<&str> = config.jobs.iter().map(|job| job.name.as_str()).collect();
        out::print(names.join("\n") + "\n")?;
        Ok(ExitCode::SUCCESS)
    }
}

/// The commands that take the name of a job.
fn takers(program: &Command) -> Vec<String> {
    let takes = |command: &&Command| {
        let mut values = command.get_positionals().filter_map(|arg| arg.get_value_names());
        values.any(|names| names.iter().any(|name| name.starts_with("JOB")))
    };
    program.get_subcommands().filter(takes).map(|command| command.get_name().to_owned()).collect()
}

/// Asks for the names of the jobs.
const ASK: &str = "cronclave __complete jobs 2>/dev/null";

fn with_jobs(shell: Shell, script: &str, takers: &[String]) -> String {
    match shell {
        Shell::Bash => {
            let commands = takers.join("|");
            format!(
                "{script}
# Names of jobs, for the commands that take one.
_cronclave_with_jobs() {{
    _cronclave \"$@\"
    local word=\"${{COMP_WORDS[COMP_CWORD]}}\" i
    [[ $word == -* ]] && return 0
    for ((i = 1; i < COMP_CWORD; i++)); do
        case \"${{COMP_WORDS[i]}}\" in
            {commands}) COMPREPLY=($(compgen -W \"$({ASK})\" -- \"$word\")); return 0 ;;
        esac
    done
}}
complete -F _cronclave_with_jobs -o nosort -o bashdefault -o default cronclave 2>/dev/null ||
    complete -F _cronclave_with_jobs -o bashdefault -o default cronclave
"
            )
        }
        Shell::Fish => {
            let commands = takers.join(" ");
            format!("{script}complete -c cronclave -n \"__fish_seen_subcommand_from {commands}\" -f -a \"({ASK})\"\n")
        }
        Shell::Zsh => {
            // Its function may be loaded by name, so what it needs stands before its last line, which calls it.
            let jobs = format!(
                "_cronclave_jobs() {{\n    local -a names\n    names=(${{(f)\"$({ASK})\"}})\n    _describe -t jobs job names\n}}\n\n"
            );
            let is_of_job = |line: &str| {
                let rest = line.trim_start().trim_start_matches(['\'', '*', ':']);
                rest.starts_with("job ") || rest.starts_with("jobs ")
            };
            let asked = |line: &str| {
                if is_of_job(line) { line.replace(":_default'", ":_cronclave_jobs'") } else { line.to_owned() }
            };
            let body: Vec<String> = script.lines().map(asked).collect();
            body.join("\n").replacen(
                "(( $+functions[_cronclave_commands] ))",
                &(jobs + "(( $+functions[_cronclave_commands] ))"),
                1,
            ) + "\n"
        }
        Shell::Elvish => in_blocks(
            script,
            takers,
            |name| format!("&'cronclave;{name}'= {{"),
            "            cronclave __complete jobs 2>/dev/null | each {|job| cand $job 'job'}",
        ),
        Shell::PowerShell => in_blocks(
            script,
            takers,
            |name| format!("'cronclave;{name}' {{"),
            "            cronclave __complete jobs 2>$null | ForEach-Object { [CompletionResult]::new($_, $_, [CompletionResultType]::ParameterValue, 'job') }",
        ),
        _ => script.to_owned(),
    }
}

/// Puts a line at the beginning of the block of each of these commands.
fn in_blocks(script: &str, takers: &[String], head: impl Fn(&str) -> String, line: &str) -> String {
    let heads: Vec<String> = takers.iter().map(|name| head(name)).collect();
    let mut text = String::new();
    for own in script.lines() {
        text += own;
        text.push('\n');
        if heads.iter().any(|head| own.trim() == head) {
            text += line;
            text.push('\n');
        }
    }
    text
}
