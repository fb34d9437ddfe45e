"""The name of every hsmd request by its number, for refusals and logs (Core Lightning's hsmd_wire, VLS)."""

from __future__ import annotations

NAMES = {
    1: "ecdh_req",
    2: "cannouncement_sig_req",
    3: "cupdate_sig_req",
    4: "sign_any_cannouncement_req",
    5: "sign_commitment_tx",
    6: "node_announcement_sig_req",
    7: "sign_withdrawal",
    8: "sign_invoice",
    9: "client_hsmfd",
    10: "get_channel_basepoints",
    11: "init",
    12: "sign_delayed_payment_to_us",
    13: "sign_remote_htlc_to_us",
    14: "sign_penalty_to_us",
    16: "sign_local_htlc_tx",
    18: "get_per_commitment_point",
    19: "sign_remote_commitment_tx",
    20: "sign_remote_htlc_tx",
    21: "sign_mutual_close_tx",
    22: "check_future_secret",
    23: "sign_message",
    24: "get_output_scriptpubkey",
    25: "sign_bolt12",
    26: "sign_option_will_fund_offer",
    27: "derive_secret",
    28: "check_pubkey",
    29: "sign_splice_tx",
    30: "new_channel",
    31: "setup_channel",
    32: "check_outpoint",
    33: "dev_memleak",
    34: "forget_channel",
    35: "validate_commitment_tx",
    36: "validate_revocation",
    37: "lock_outpoint",
    38: "preapprove_invoice",
    39: "preapprove_keysend",
    40: "revoke_commitment_tx",
    41: "sign_bolt12_2",
    45: "bip137_sign_message",
    51: "preapprove_invoice_check",
    52: "preapprove_keysend_check",
    56: "check_bip86_pubkey",
    99: "dev_preinit",
    142: "sign_any_delayed_payment_to_us",
    143: "sign_any_remote_htlc_to_us",
    144: "sign_any_penalty_to_us",
    146: "sign_any_local_htlc_tx",
    147: "sign_anchorspend",
    149: "sign_htlc_tx_mingle",
    1000: "ping",
    1006: "sign_gossip_message",
    1012: "node_info",
    2008: "get_heartbeat",
}

NEEDED_BY_A_NODE = (
    2, 3, 4, 5, 6, 7, 8, 10, 12, 13, 14, 16, 18, 19, 20, 21, 22, 25, 30, 31, 32, 33, 34, 35, 36, 37, 38, 39,
    40, 41, 142, 143, 144, 146, 147, 149,
)  # fmt: skip
"""Requests of a Greenlight node that reach its signer and need more than the node's own keys."""


def name_of(number: int) -> str:
    """`sign_invoice (type 8)`, or `type 9999` where the number has no name."""
    name = NAMES.get(number)
    return f"{name} (type {number})" if name else f"type {number}"
