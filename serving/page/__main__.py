"""Run the page: `python -m serving.page SERVICE HOST PORT [CERTIFICATE KEY]`."""

import sys
from collections.abc import Callable

import gradio as gr

from serving.client import Client
from serving.page.blocks import HERE, Page
from serving.runtime import Runtime
from serving.security.keys import Keys


def login(runtime: Runtime) -> Callable[[str, str], bool] | None:
    """Return what checks who may see the page: the name and the token of a key; None where keys are not required.

    The page asks the service with a key of its own, so it must not be open where the service is not.
    """
    if not runtime.require_keys:
        return None
    keys = Keys(runtime.keys)

    def check(name: str, token: str) -> bool:
        key = keys.find(token.strip())
        return key is not None and key.state == "valid" and "predict" in key.scopes and name.strip() == key.name

    return check


def main(service: str, host: str, port: str, certificate: str | None = None, private: str | None = None) -> None:
    """Serve the page until the process is ended."""
    blocks = Page(Client(service)).build()
    # Fonts of the reader's own machine: nothing is fetched from elsewhere.
    theme = gr.themes.Base(
        primary_hue="blue", font=["system-ui", "sans-serif"], font_mono=["ui-monospace", "monospace"], text_size="lg"
    ).set(  # dark enough for white words to be read on it (WCAG 2.2, 1.4.3), by day and by night
        button_primary_background_fill="*primary_700",
        button_primary_background_fill_hover="*primary_800",
        button_primary_background_fill_dark="*primary_700",
        button_primary_background_fill_hover_dark="*primary_800",
    )
    blocks.queue(default_concurrency_limit=4, max_size=32)
    blocks.launch(
        server_name=f"[{host}]" if ":" in host else host,
        server_port=int(port),
        auth=login(Runtime.read()),
        auth_message="The name of your API key, and the key as the password.",
        ssl_certfile=certificate,
        ssl_keyfile=private,
        ssl_verify=False,  # of Gradio's own look at itself
        theme=theme,
        # In the head as it stands: Gradio would put a selector of its own before every one of ours.
        head=f"<style>{(HERE / 'page.css').read_text(encoding='utf-8')}</style>",
        footer_links=[],
        quiet=True,
        share=False,
        ssr_mode=False,
        max_file_size="32mb",
        enable_monitoring=False,
    )


if __name__ == "__main__":
    main(*sys.argv[1:6])
