import base64, hashlib, hmac, re, time

def return_path(address, secret, domain, campaign="-", hash_key=None, day=None):
    """The envelope sender for one recipient. secret, hash_key: the first line of verp.secret and verp.hash, as bytes."""
    b32 = lambda raw: base64.b32encode(raw).decode().lower().rstrip("=")
    mac = lambda key, text: hmac.new(key, text.encode(), hashlib.sha256).digest()
    address, campaign = address.strip().lower(), campaign.lower()
    day = int(time.time() // 86400) if day is None else day
    stamp = b32((day % 32768 << 1).to_bytes(2, "big"))[:3]

    def build(start, form, payload):
        text = "".join(f"{len(part)}:{part}" for part in (form, campaign, stamp, payload, domain))
        return f"{start}+{campaign}+{stamp}{b32(mac(secret, text))[:10]}+{payload}"

    long = build("b", "long", "=".join(address.rsplit("@", 1)))
    if len(long) <= 64 and ".." not in long and re.fullmatch(r"[a-z0-9#$&'*+=?^_{}~.-]+", long):
        return f"{long}@{domain}"
    if hash_key is None:
        raise ValueError(f"{address} needs the short form, and that a hash key")
    return f"{build('h', 'short', b32(mac(hash_key, address)[:10]))}@{domain}"

# Reads the test vectors and prints the addresses that it makes of them, one a line.
if __name__ == "__main__":
    import json, sys
    for v in json.load(sys.stdin):
        hash_key = v["hash_key"] and v["hash_key"].encode()
        print(return_path(v["address"], v["secret"].encode(), v["domain"], v["campaign"] or "-", hash_key, v["day"]))
