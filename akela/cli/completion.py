"""`akela completion`: the script that makes a shell complete `akela`'s commands and options."""

import click
from click.shell_completion import get_completion_class


@click.command()
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
def completion(shell: str) -> None:
    """Print the completion script of a shell.

    \b
    bash:  akela completion bash > ~/.local/share/bash-completion/completions/akela
    zsh:   akela completion zsh > "${fpath[1]}/_akela"
    fish:  akela completion fish > ~/.config/fish/completions/akela.fish
    """
    made = get_completion_class(shell)
    assert made is not None  # click knows these three
    root = click.get_current_context().find_root().command
    click.echo(made(root, {}, "akela", "_AKELA_COMPLETE").source())
