"""Run the page: `python -m serving.page SERVICE HOST PORT`."""

import sys

import gradio as gr

from serving.client import Client
from serving.page.blocks import HERE, Page


def main(service: str, host: str, port: str) -> None:
    """Serve the page until the process is ended."""
    blocks = Page(Client(service)).build()
    # Fonts of the reader's own machine: nothing is fetched from elsewhere.
    theme = gr.themes.Base(
        primary_hue="blue", font=["system-ui", "sans-serif"], font_mono=["ui-monospace", "monospace"], text_size="lg"
    )
    blocks.queue(default_concurrency_limit=4, max_size=32)
    blocks.launch(
        server_name=host,
        server_port=int(port),
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
    main(*sys.argv[1:4])
