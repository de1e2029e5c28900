"""A real WordPress beside our connector: ``python tests/real/wordpress.py``.

Needs PHP with its MySQL module, a MariaDB that answers at 127.0.0.1:3306 for root without a password, and WordPress as
Debian packages it (``apt-get install wordpress php-cli php-mysql``). A copy with a database of its own is made.
"""

from __future__ import annotations

import asyncio
import base64
import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import aiohttp

sys.path.insert(0, str(Path(__file__).resolve().parent))

from comments_round import CannotStart, Doors, Program, Round, folder, free_port, need, run

from connectors._html import words_in
from connectors.wordpress import connector

PACKAGED = Path("/usr/share/wordpress")
DATABASE = "real_wordpress"
CONFIG = """<?php
define('DB_NAME','{db}');define('DB_USER','root');define('DB_PASSWORD','');define('DB_HOST','127.0.0.1');
define('DB_CHARSET','utf8mb4');define('DB_COLLATE','');
foreach(['AUTH_KEY','SECURE_AUTH_KEY','LOGGED_IN_KEY','NONCE_KEY'] as $k) define($k,'only-for-tests-'.$k);
foreach(['AUTH_SALT','SECURE_AUTH_SALT','LOGGED_IN_SALT','NONCE_SALT'] as $k) define($k,'only-for-tests-'.$k);
$table_prefix='wp_';
define('WP_ENVIRONMENT_TYPE','local');define('DISABLE_WP_CRON',true);define('WP_HTTP_BLOCK_EXTERNAL',true);
define('WP_HOME','{url}');define('WP_SITEURL','{url}');
if(!defined('ABSPATH')) define('ABSPATH',__DIR__.'/');
require_once ABSPATH.'wp-settings.php';
"""
INSTALL = """<?php
define('WP_INSTALLING',true);
$_SERVER+=['HTTP_HOST'=>'127.0.0.1','REQUEST_METHOD'=>'GET','SERVER_PROTOCOL'=>'HTTP/1.1','REQUEST_URI'=>'/'];
function wp_mail(...$a){return true;}
require __DIR__.'/site/wp-load.php';
require_once ABSPATH.'wp-admin/includes/upgrade.php';
if(!is_blog_installed()) wp_install('Union','admin','admin@example.org',true,'','admin-of-a-test');
update_option('timezone_string','Asia/Shanghai');
foreach(['comment_moderation','comment_previously_approved','comment_registration'] as $o) update_option($o,0);
$u=get_user_by('login','huiyin');
$id=$u?$u->ID:wp_insert_user(['user_login'=>'huiyin','user_pass'=>'of-a-test','user_email'=>'hy@example.org',
  'display_name'=>'Union','role'=>'editor']);
WP_Application_Passwords::delete_all_application_passwords($id);
[$pw]=WP_Application_Passwords::create_new_application_password($id,['name'=>'huiyin']);
$p=get_posts(['numberposts'=>1]);
$pid=$p?$p[0]->ID:wp_insert_post(['post_title'=>'t','post_content'=>'c','post_status'=>'publish']);
foreach(get_comments(['status'=>'any']) as $c) wp_delete_comment($c->comment_ID,true);
foreach(get_comments(['status'=>'trash']) as $c) wp_delete_comment($c->comment_ID,true);
global $wp_version;
echo json_encode(['password'=>$pw,'post'=>$pid,'version'=>$wp_version]);
"""


def prepared(url: str) -> tuple[Path, dict[str, Any]]:
    """Make the copy and its database; return its folder and what the installation says. Raises: CannotStart."""
    php = need("php", "apt-get install php-cli php-mysql")
    if not (PACKAGED / "wp-load.php").exists():
        raise CannotStart("WordPress is not installed; apt-get install wordpress")
    at = folder("wordpress")
    at.mkdir(parents=True, exist_ok=True)
    if not (at / "site" / "wp-load.php").exists():
        shutil.copytree(PACKAGED, at / "site", dirs_exist_ok=True)
    client = need("mariadb", "apt-get install mariadb-client")
    made = subprocess.run(
        [
            client,
            "-uroot",
            "-h127.0.0.1",
            "-e",
            f"CREATE DATABASE IF NOT EXISTS {DATABASE} CHARACTER SET utf8mb4",
        ],
        capture_output=True,
        check=False,
    )
    if made.returncode:
        raise CannotStart("no MariaDB answers at 127.0.0.1:3306 for root without a password")
    (at / "site" / "wp-config.php").unlink(missing_ok=True)
    (at / "site" / "wp-config.php").write_text(CONFIG.replace("{db}", DATABASE).replace("{url}", url))
    (at / "install.php").write_text(INSTALL)
    done = subprocess.run([php, "install.php"], cwd=at, capture_output=True, text=True, check=False)
    try:
        return at, json.loads(done.stdout.strip().splitlines()[-1])
    except (ValueError, IndexError):
        raise CannotStart(f"the installation failed: {done.stdout[-300:]} {done.stderr[-300:]}") from None


async def work() -> int:
    port = free_port()
    url = f"http://127.0.0.1:{port}"
    at, given = prepared(url)
    print(f"WordPress {given['version']}")
    server = Program(
        [need("php", ""), "-S", f"127.0.0.1:{port}", "-t", "site"],
        at,
        at / "php.log",
        PHP_CLI_SERVER_WORKERS="2",
    )
    try:
        server.wait_for(port)
        async with aiohttp.ClientSession() as session:
            return await Round(doors(session, url, given), "wordpress").go()
    finally:
        server.stop()


def doors(session: aiohttp.ClientSession, url: str, given: dict[str, Any]) -> Doors:
    """Return the ways of a visitor and of an administrator into the site."""
    settings = {
        "url": url,
        "user": "huiyin",
        "app_password": given["password"],
        "poll_seconds": 0.5,
        "rescan_seconds": 2.0,
        "call_seconds": 30.0,
    }
    said = 0.0
    secret = base64.b64encode(f"huiyin:{given['password']}".encode()).decode()
    admin = {"Authorization": f"Basic {secret}"}

    async def comment(text: str, name: str) -> str:
        nonlocal said
        loop = asyncio.get_running_loop()
        await asyncio.sleep(max(0.0, said + 16 - loop.time()) if said else 0)  # WordPress's own brake
        form = {"comment": text, "author": name or "小周", "email": "xz@example.org", "url": ""}
        form |= {"comment_post_ID": str(given["post"]), "comment_parent": "0"}
        async with session.post(f"{url}/wp-comments-post.php", data=form, allow_redirects=False) as answer:
            said = loop.time()
            return answer.headers["Location"].rpartition("comment-")[2]

    async def public() -> str:
        async with session.get(f"{url}/?p={given['post']}") as answer:
            return words_in(await answer.text())[0]

    async def edit(key: str, text: str) -> None:
        query = {"rest_route": f"/wp/v2/comments/{key}"}
        async with session.post(url, params=query, json={"content": text}, headers=admin) as answer:
            assert answer.status == 200

    async def destroy(key: str) -> None:
        query = {"rest_route": f"/wp/v2/comments/{key}", "force": "true"}
        async with session.delete(url, params=query, headers=admin) as answer:
            assert answer.status == 200

    return Doors(connector, settings, {**settings, "app_password": "wrong"}, comment, public, edit, destroy)


if __name__ == "__main__":
    sys.exit(run("WordPress", work))
