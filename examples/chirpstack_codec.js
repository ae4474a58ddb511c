// Waybill's compact codec for the field "JavaScript functions" of a device profile in ChirpStack, version 3 or 4.
// Waybill reads the bytes itself: this is for who wants to see them in ChirpStack. Put the decoder of your own ports where it says so.

var WAYBILL_PORT = 20;
var STATUSES = ["received", "deferred", "downloading", "verifying", "installing", "staged", "rebooting", "completed",
  "failed", "rejected", "cancelled", "cancel_refused"];
var CODES = ["no_space", "busy", "low_battery", "user_postponed", "window_closed", "download_failed", "url_expired",
  "digest_mismatch", "install_failed", "boot_failed", "health_check_failed", "version_regressed", "signature_invalid",
  "unsupported", "wrong_model", "downgrade_refused", "standby_mismatch"];

function decodeUplink(input) {
  if (input.fPort !== WAYBILL_PORT) {
    return {data: {}}; // your own ports
  }
  var bytes = input.bytes;
  var lengths = {0x81: 6, 0x82: 5, 0x83: 6};
  if (bytes.length === 0 || !(bytes[0] in lengths) || bytes.length < lengths[bytes[0]]) {
    return {errors: ["no message of Waybill's codec"]};
  }
  if (bytes[0] === 0x82) {
    return {data: {status: "online", boot_id: "b" + bytes[1], firmware_version: bytes.slice(2, 5).join(".")}};
  }
  if (bytes[0] === 0x83) {
    return {data: {status: "online", boot_id: "b" + bytes[1], firmware_short: hex(bytes.slice(2, 6))}};
  }
  var report = {ordinal: bytes[1] * 256 + bytes[2], attempt: bytes[3], status: STATUSES[bytes[4] - 1]};
  if (report.ordinal === 0 || report.attempt === 0 || report.status === undefined) {
    return {errors: ["an ordinal, an attempt or a status that can't be"]};
  }
  if (bytes[5] <= 100) {
    report.progress = bytes[5];
  }
  if (bytes.length > 6 && bytes[6] > 0) {
    report.code = bytes[6] >= 128 ? "x_" + bytes[6] : CODES[bytes[6] - 1] || "x_unknown";
  }
  return {data: report};
}

function encodeDownlink(input) {
  return {bytes: input.data.bytes || []};
}

function hex(bytes) {
  return bytes.map(function (byte) { return (byte < 16 ? "0" : "") + byte.toString(16); }).join("");
}
