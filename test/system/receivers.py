"""Who hears of a cutover: an HTTP listener that keeps what it gets, and a real mail server (Exim), each on 127.0.0.1 and a
port of its own.

    Receiver ── answers(503, 200), hang() ── wait_posts(n)
    Exim ── a daemon of our own: config, spool, mail directory ── wait_mails(n): parsed messages; ended by its process id
"""
import email
import email.policy
import hashlib
import hmac
import http.server
import json
import os
import pathlib
import shutil
import signal
import tempfile
import threading
import time

from harness import PATIENCE, Process, free_port


class Post:
    def __init__(self, path, headers, body):
        self.path, self.headers, self.body = path, headers, body

    @property
    def json(self):
        return json.loads(self.body)

    def signed_by(self, secret):
        wanted = hmac.new(secret.encode(), self.headers['X-Turnout-Timestamp'].encode() + b'.' + self.body,
                          hashlib.sha256).hexdigest()
        return hmac.compare_digest(self.headers.get('X-Turnout-Signature', ''), 'sha256=' + wanted)


class Receiver:
    """Answers each POST with the next of `answers`, the last of them for ever; None: not at all, until release()."""

    def __init__(self, *answers):
        self.answers = list(answers or (200,))
        self.posts = []
        self.changed = threading.Condition()
        self.released = threading.Event()
        outer = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = 'HTTP/1.1'

            def do_POST(self):
                body = self.rfile.read(int(self.headers['Content-Length']))
                with outer.changed:
                    outer.posts.append(Post(self.path, self.headers, body))
                    answer = outer.answers.pop(0) if len(outer.answers) > 1 else outer.answers[0]
                    outer.changed.notify_all()
                if answer is None:
                    outer.released.wait(PATIENCE * 6)
                    self.close_connection = True
                    return
                self.send_response(answer)
                if answer in (301, 302, 307):
                    self.send_header('Location', outer.url + '/elsewhere')
                self.send_header('Content-Length', '2')
                self.end_headers()
                self.wfile.write(b'{}')

            def log_message(self, *args):
                pass

        self.server = http.server.ThreadingHTTPServer(('127.0.0.1', 0), Handler)
        self.server.daemon_threads = True
        threading.Thread(target=self.server.serve_forever, kwargs={'poll_interval': 0.05}, daemon=True).start()

    @property
    def port(self):
        return self.server.server_address[1]

    @property
    def url(self):
        return 'http://127.0.0.1:%d' % self.port

    def wait_posts(self, count, timeout=None):
        with self.changed:
            assert self.changed.wait_for(lambda: len(self.posts) >= count, timeout or PATIENCE), \
                '%d posts came, not %d' % (len(self.posts), count)
            return list(self.posts)

    def close(self):
        self.released.set()
        self.server.shutdown()
        self.server.server_close()


EXIM = '''primary_hostname = mail.test
spool_directory = %(directory)s/spool
log_file_path = %(directory)s/%%slog
pid_file_path = %(directory)s/pid
exim_user = %(uid)d
exim_group = %(gid)d
never_users =
keep_environment =
local_interfaces = 127.0.0.1
daemon_smtp_ports = %(port)d
tls_advertise_hosts = %(tls)s
auth_advertise_hosts = *
acl_smtp_rcpt = acl_rcpt
begin acl
acl_rcpt:
  deny   message = no such address
         local_parts = nobody
  defer  message = greylisted
         local_parts = later
         condition = ${if exists{%(directory)s/greylisted}{no}{yes}}
  accept domains = acme.example : bank.example : turnout.example
  deny   message = relay not permitted
begin routers
all:
  driver = accept
  transport = keep
begin transports
keep:
  driver = appendfile
  directory = %(directory)s/mail
  maildir_format
  envelope_to_add
  return_path_add
  user = nobody
  group = nogroup
begin authenticators
plain:
  driver = plaintext
  public_name = PLAIN
  server_prompts = :
  server_condition = ${if and {{eq{$auth2}{noc}}{eq{$auth3}{smtp-secret}}}}
  server_set_id = $auth2
begin retry
begin rewrite
'''


class Exim:
    """certificates: of harness.make_certificates, for STARTTLS. Takes mail for acme.example, bank.example and
    turnout.example; refuses nobody@, and puts later@ off until take_later()."""

    def __init__(self, certificates=None):
        # Exim delivers as another user than root, who cannot get into a test's own directory.
        self.directory = pathlib.Path(tempfile.mkdtemp(prefix='turnout-exim-', dir='/tmp'))
        self.directory.chmod(0o755)
        (self.directory / 'mail').mkdir()
        if os.getuid() == 0:
            shutil.chown(self.directory / 'mail', 'nobody', 'nogroup')
        self.port = free_port()
        tls = '*\ntls_certificate = %(server)s\ntls_privatekey = %(server-key)s' % certificates if certificates else ''
        config = self.directory / 'exim.conf'
        config.write_text(EXIM % {'directory': self.directory, 'port': self.port, 'uid': os.getuid(), 'tls': tls,
                                  'gid': os.getgid()})
        config.chmod(0o644)
        self.process = Process(['exim4', '-C', config, '-bdf'], 'exim')
        self.process.wait_for(self._listens, 'a mail server')

    def _listens(self):
        deadline = time.monotonic() + PATIENCE
        log = self.directory / 'mainlog'
        while time.monotonic() < deadline and self.process.running:
            if log.exists() and 'listening for SMTP' in log.read_text():
                return True
            time.sleep(0.02)
        return False

    @property
    def url(self):
        return 'smtp://127.0.0.1:%d' % self.port

    def take_later(self):
        (self.directory / 'greylisted').touch()

    def mails(self):
        found = []
        for path in sorted((self.directory / 'mail').glob('new/*')):
            message = email.message_from_bytes(path.read_bytes(), policy=email.policy.default)
            message.raw = path.read_bytes()
            found.append(message)
        return found

    def wait_mails(self, count, timeout=None):
        deadline = time.monotonic() + (timeout or PATIENCE)
        while True:
            found = self.mails()
            if len(found) >= count:
                return found
            assert time.monotonic() < deadline, '%d mails came, not %d\n%s' % (
                len(found), count, (self.directory / 'mainlog').read_text())
            time.sleep(0.02)

    def close(self):
        # Each session has a process of its own, and outlives the daemon.
        os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()
        shutil.rmtree(self.directory)
