<?php
/** The envelope sender for one recipient. $secret, $hash_key: the first line of verp.secret and verp.hash, without the line end. */
function return_path($address, $secret, $domain, $campaign = '-', $hash_key = null, $day = null) {
    $b32 = function ($raw) {
        $bits = implode('', array_map(fn($byte) => sprintf('%08b', $byte), unpack('C*', $raw)));
        return implode('', array_map(fn($five) => 'abcdefghijklmnopqrstuvwxyz234567'[bindec(str_pad($five, 5, '0'))], str_split($bits, 5)));
    };
    $mac = fn($key, $text) => hash_hmac('sha256', $text, $key, true);
    $address = mb_strtolower(trim($address), 'UTF-8');
    $campaign = strtolower($campaign);
    $stamp = substr($b32(pack('n', ($day ?? intdiv(time(), 86400)) % 32768 << 1)), 0, 3);

    $build = function ($start, $form, $payload) use ($b32, $mac, $secret, $domain, $campaign, $stamp) {
        $parts = array_map(fn($part) => strlen($part) . ":$part", [$form, $campaign, $stamp, $payload, $domain]);
        return "$start+$campaign+$stamp" . substr($b32($mac($secret, implode('', $parts))), 0, 10) . "+$payload";
    };

    $at = strrpos($address, '@');
    $long = $build('b', 'long', substr($address, 0, $at) . '=' . substr($address, $at + 1));
    if (strlen($long) <= 64 && !str_contains($long, '..') && preg_match('/^[a-z0-9#$&\'*+=?^_{}~.-]+$/D', $long)) {
        return "$long@$domain";
    }
    if ($hash_key === null) {
        throw new ValueError("$address needs the short form, and that a hash key");
    }
    return $build('h', 'short', $b32(substr($mac($hash_key, $address), 0, 10))) . "@$domain";
}

// Reads the test vectors and prints the addresses that it makes of them, one a line.
if (PHP_SAPI === 'cli' && isset($argv[0]) && realpath($argv[0]) === __FILE__) {
    foreach (json_decode(stream_get_contents(STDIN), true) as $v) {
        echo return_path($v['address'], $v['secret'], $v['domain'], $v['campaign'] ?? '-', $v['hash_key'], $v['day']), "\n";
    }
}
