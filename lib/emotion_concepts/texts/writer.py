"""Stories by another model behind an OpenAI-compatible server (``--writer URL``).

Sampling is the server's: some (``transformers serve``, unless the model's generation_config.json says ``do_sample``)
take the likeliest token at any temperature, and then two equal requests get one text.
"""

from concurrent.futures import ThreadPoolExecutor, as_completed

from emotion_concepts.errors import UserError
from emotion_concepts.lm.prompts import strip_reasoning
from emotion_concepts.texts.corpus import Corpus
from emotion_concepts.texts.server import NoAnswer, Server
from emotion_concepts.texts.writing import MINIMUM, Reply, Request, collect

AT_ONCE = 8  # requests under way
WAITS = (2, 10)  # seconds before a request that found no way is put again


def write_by_server(
    url: str, emotions: list[str], material: dict, per_emotion: int, path, seed: int = 0, model: str = "",
    minimum: float = MINIMUM, temperature: float = 1.0, timeout: float = 300.0,
) -> Corpus:  # fmt: skip
    """Let the server's ``model`` (default: the only one that it has) write the stories; see ``writing.collect``.

    ``timeout``: seconds for an answer. ``WRITER_API_KEY`` in the environment is sent as a bearer token.
    :class:`UserError` if the server can't be used or gives no answer; the stories so far are kept in ``path``, and the
    same call goes on after them.
    """
    server = Server(url, model, timeout, "WRITER_API_KEY", "a writer", WAITS)
    server.model = model or _only_model(server)
    options = {"temperature": temperature, "max_tokens": material["max_new_tokens"]}

    def one(request: Request) -> Reply:
        text, cut = server.complete(request.text(material), seed=(seed + request.stream) % 2**31, **options)
        text = strip_reasoning(text or "")
        return Reply(text, len(text.split()), cut)  # its tokenizer is not known; there are no fewer tokens than words

    def ask(requests):
        with ThreadPoolExecutor(AT_ONCE) as pool:
            under_way = {pool.submit(one, r): r for r in requests}
            lost = None
            for done in as_completed(under_way):
                if done.cancelled():
                    continue
                try:
                    yield under_way[done], done.result()
                except NoAnswer as e:
                    lost = lost or e
                    for other in under_way:
                        other.cancel()
        if lost:
            told = str(lost).rstrip(". ")
            raise UserError(f"{server.url}: {told}; what it wrote is kept in {path}: run the same again to go on")

    author = {"author": server.model or server.base, "temperature": temperature}
    return collect(emotions, material, per_emotion, path, seed, author, ask, 4 * AT_ONCE, minimum)


def _only_model(server: Server) -> str:
    """The name of the one model that a server lists, "" if it lists none; :class:`UserError` for several."""
    try:
        names = server.models()
    except NoAnswer:  # many do without a list; whether this one can be asked, the first question shows
        return ""
    if len(names) > 1:
        raise UserError(f"{server.base} lists {len(names)} models ({', '.join(names[:5])}); name the one to write")
    return names[0] if names else ""
