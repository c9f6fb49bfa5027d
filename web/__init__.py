"""HTTP: pages, the JSON API and everything every request passes through.

How the folder hangs together, for whoever adds a route:

* A route is declared once, as data, in a tuple called ``ROUTES``: pages in ``web/pages/*``, the API in ``web/api/*``.
  ``web.routing.page(...)`` declares a page, ``web.api.endpoint.endpoint(...)`` an API route, ``web.routing.asset`` one
  that serves files. Each carries its ``Access`` (``web/access.py``); the gate refuses what is not declared.
* ``web.identity.visitor(request)`` is who calls (or None), ``web.identity.caller(request)`` the same where the access
  guarantees one; ``log_in`` and ``log_out`` start and end a login.
* ``await web.csrf.token(request)`` is what a form carries in the hidden field ``csrf_token`` and a script sends as
  ``X-CSRF-Token``.
* ``request.app[web.context.CONTEXT]`` is the Context that actions want.
* Raise a ``server.base.errors`` class to refuse; ``web/problems.py`` turns it into a problem document or an error page.
* ``web/pages/__init__.py`` exports ``def setup(app) -> tuple[Route, ...]`` (called once by ``web.mount.setup``, when
  CONTEXT is on the app; it may set application keys of its own, such as the Jinja environment, and returns all page
  routes) and ``async def error_page(request, problem: web.problems.Problem) -> StreamResponse`` (``problem.status``,
  ``.title``, ``.detail``, ``.code``, ``.errors``; the answer's status must be ``problem.status``). If it fails, plain
  text is sent instead.
* ``web.mount.setup`` puts all of it on an application (imported from there, so that ``web.routing`` stays light).
"""
