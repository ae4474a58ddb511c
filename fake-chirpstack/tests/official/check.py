"""ChirpStack's own Python classes against the double: every method that it serves, and every event in both encodings.

Started by main.rs, which plays the other half: it sets up what is read here, and compares by name what is written here.
Arguments: the address for gRPC and the one for commands.
"""

import base64
import json
import sys
import time
import urllib.request

import grpc
from chirpstack_api import api, integration
from google.protobuf import json_format

TENANT, APPLICATION = "52f14cd4-c6f1-4fbd-8f87-4025e1d49242", "fe0631ba-f18b-42ef-99f5-c9a37521a4b8"
PROFILE = "11111111-2222-4333-8444-555555555555"
CLASS_C_PROFILE = "5e440683-a2fe-486f-b62a-0ed2210681b6"
GATEWAY = "0016c001f153a14c"
DEVICE, OTHER = "0101010101010101", "0202020202020202"
PATIENCE_S = 20

address, control = sys.argv[1].removeprefix("http://"), sys.argv[2]
channel = grpc.insecure_channel(address)
metadata = [("authorization", "Bearer fake-tenant-key")]


def call(method, request, metadata=metadata):
    return method(request, metadata=metadata, timeout=PATIENCE_S)


def refused(code, details, method, request, metadata=metadata):
    try:
        call(method, request, metadata)
    except grpc.RpcError as error:
        same((error.code(), error.details()), (code, details))
    else:
        raise AssertionError(f"{request} is not refused")


def same(seen, wanted):
    assert seen == wanted, f"{seen!r} is not {wanted!r}"


def has(message, **wanted):
    for name, value in wanted.items():
        seen = getattr(message, name)
        same((name, dict(seen) if isinstance(value, dict) else seen), (name, value))


def times(message, *names):
    """Which times are set, and that nothing else is."""
    of_time = [field.name for field in message.DESCRIPTOR.fields if field.message_type and field.message_type.name == "Timestamp"]
    same([name for name in of_time if message.HasField(name)], list(names))


def command(name, **fields):
    body = json.dumps({"command": name, **fields}).encode()
    urllib.request.urlopen(urllib.request.Request(control, body), timeout=PATIENCE_S).read()


def of_control(path):
    return json.loads(urllib.request.urlopen(control + path, timeout=PATIENCE_S).read())


def errors(devices):
    get = api.GetDeviceRequest
    unauthenticated = grpc.StatusCode.UNAUTHENTICATED
    refused(unauthenticated, "no authorization provided", devices.Get, get(dev_eui=DEVICE), [])
    refused(unauthenticated, "", devices.Get, get(dev_eui="ff" * 8))
    admin = [("authorization", "Bearer fake-admin-key")]
    refused(grpc.StatusCode.NOT_FOUND, "Object does not exist (id: ffffffffffffffff)", devices.Get, get(dev_eui="ff" * 8), admin)
    refused(grpc.StatusCode.INTERNAL, "Invalid string length", devices.Get, get(dev_eui="0102"))
    item = api.DeviceQueueItem(dev_eui=DEVICE, f_port=0, data=b"x")
    why = "Validation error: FPort must be between 1 - 255"
    refused(grpc.StatusCode.INVALID_ARGUMENT, why, devices.Enqueue, api.EnqueueDeviceQueueItemRequest(queue_item=item))


def write_devices(devices):
    device = api.Device(
        dev_eui=DEVICE, name="a name", description="a description", application_id=APPLICATION, device_profile_id=PROFILE,
        skip_fcnt_check=True, is_disabled=False, variables={"waybill_device_id": "d-1"}, tags={"fw": "1.0.0"}, join_eui="0a" * 8,
    )
    call(devices.Create, api.CreateDeviceRequest(device=device))
    duplicate = "UNIQUE constraint failed: device.dev_eui"
    refused(grpc.StatusCode.INTERNAL, duplicate, devices.Create, api.CreateDeviceRequest(device=device))
    other = api.Device(dev_eui=OTHER, name="other", application_id=APPLICATION, device_profile_id=CLASS_C_PROFILE, tags={"fw": "2.0.0"})
    call(devices.Create, api.CreateDeviceRequest(device=other))
    call(devices.Delete, api.DeleteDeviceRequest(dev_eui=OTHER))
    call(devices.Create, api.CreateDeviceRequest(device=other))
    device.is_disabled, device.description = True, "changed"
    call(devices.Update, api.UpdateDeviceRequest(device=device))
    command("status", dev_eui=DEVICE, margin=-7, battery=62.5)
    command("join", dev_eui=OTHER)
    command("uplink", dev_eui=OTHER, f_port=3, data="aa")
    answer = call(devices.Get, api.GetDeviceRequest(dev_eui=DEVICE))
    same(answer.device, device)
    times(answer, "created_at", "updated_at")
    has(answer.device_status, margin=-7, external_power_source=False, battery_level=62.5)
    answer = call(devices.Get, api.GetDeviceRequest(dev_eui=OTHER))
    times(answer, "created_at", "updated_at", "last_seen_at")
    same(answer.class_enabled, 2)


def list_devices(devices):
    def euis(**filters):
        request = api.ListDevicesRequest(application_id=APPLICATION, **{"limit": 10, **filters})
        answer = call(devices.List, request)
        return answer.total_count, [item.dev_eui for item in answer.result]

    same(euis(limit=0), (2, []))
    same(euis(), (2, [DEVICE, OTHER]))
    same(euis(offset=1), (2, [OTHER]))
    same(euis(search="other"), (1, [OTHER]))
    same(euis(tags={"fw": "2.0.0"}), (1, [OTHER]))
    same(euis(device_profile_id=PROFILE), (1, [DEVICE]))
    same(euis(order_by=api.ListDevicesRequest.DEV_EUI, order_by_desc=True), (2, [OTHER, DEVICE]))
    item = call(devices.List, api.ListDevicesRequest(application_id=APPLICATION, limit=1)).result[0]
    has(item, dev_eui=DEVICE, name="a name", description="changed", device_profile_id=PROFILE, device_profile_name="a profile",
        tags={"fw": "1.0.0"})
    has(item.device_status, margin=-7, battery_level=62.5)
    times(item, "created_at", "updated_at")
    item = call(devices.List, api.ListDevicesRequest(application_id=APPLICATION, limit=1, offset=1)).result[0]
    times(item, "created_at", "updated_at", "last_seen_at")


def keys(devices):
    wanted = api.DeviceKeys(dev_eui=DEVICE, nwk_key="01" * 16, app_key="02" * 16, gen_app_key="03" * 16)
    call(devices.CreateKeys, api.CreateDeviceKeysRequest(device_keys=wanted))
    call(devices.DeleteKeys, api.DeleteDeviceKeysRequest(dev_eui=DEVICE))
    call(devices.CreateKeys, api.CreateDeviceKeysRequest(device_keys=wanted))
    wanted.gen_app_key = "04" * 16
    call(devices.UpdateKeys, api.UpdateDeviceKeysRequest(device_keys=wanted))
    answer = call(devices.GetKeys, api.GetDeviceKeysRequest(dev_eui=DEVICE))
    same(answer.device_keys, wanted)
    times(answer, "created_at", "updated_at")


def queue(devices):
    def item(data, **fields):
        return api.DeviceQueueItem(**{"dev_eui": DEVICE, "f_port": 20, "data": data, **fields})

    def enqueue(item, flush=False):
        return call(devices.Enqueue, api.EnqueueDeviceQueueItemRequest(queue_item=item, flush_queue=flush)).id

    enqueue(item(b"\x01"))
    call(devices.FlushQueue, api.FlushDeviceQueueRequest(dev_eui=DEVICE))
    enqueue(item(b"\x02"))
    full = item(b"\x03", id="6f4c1b1a-0f0a-4c1e-9f11-0123456789ab", confirmed=True, is_encrypted=True)
    full.object.update({"cmd": 5})
    full.expires_at.FromJsonString("2096-11-21T04:00:00Z")
    own = full.id
    full.id = enqueue(full, flush=True)
    assert full.id != own, "an id of the client's is honoured"
    answer = call(devices.GetQueue, api.GetDeviceQueueItemsRequest(dev_eui=DEVICE))
    same((answer.total_count, list(answer.result)), (1, [full]))
    answer = call(devices.GetQueue, api.GetDeviceQueueItemsRequest(dev_eui=DEVICE, count_only=True))
    same((answer.total_count, list(answer.result)), (1, []))
    enqueue(item(b"\x05", dev_eui=OTHER, confirmed=True))
    pending = call(devices.GetQueue, api.GetDeviceQueueItemsRequest(dev_eui=OTHER)).result[0]
    has(pending, is_pending=True, f_cnt_down=0)
    command("resolve_pending", dev_eui=OTHER, acknowledged=True)
    enqueue(item(b"\x06", dev_eui=OTHER, confirmed=True))
    has(call(devices.GetQueue, api.GetDeviceQueueItemsRequest(dev_eui=OTHER)).result[0], f_cnt_down=1)


def catalogue():
    applications = api.ApplicationServiceStub(channel)
    answer = call(applications.Get, api.GetApplicationRequest(id=APPLICATION))
    has(answer.application, id=APPLICATION, name="an application", description="what it is for", tenant_id=TENANT, tags={"app_tag": "a"})
    times(answer, "created_at", "updated_at")
    answer = call(applications.List, api.ListApplicationsRequest(limit=5, tenant_id=TENANT, search="an app"))
    same(answer.total_count, 1)
    has(answer.result[0], id=APPLICATION, name="an application", description="what it is for")
    times(answer.result[0], "created_at", "updated_at")
    same(len(call(applications.List, api.ListApplicationsRequest(limit=5, offset=1, tenant_id=TENANT)).result), 0)

    profiles = api.DeviceProfileServiceStub(channel)
    answer = call(profiles.Get, api.GetDeviceProfileRequest(id=PROFILE))
    times(answer, "created_at", "updated_at")
    has(answer.device_profile, id=PROFILE, tenant_id=TENANT, name="a profile", region=12, mac_version=4, flush_queue_on_activate=True,
        uplink_interval=11, supports_otaa=True, supports_class_b=True, supports_class_c=False, class_b_timeout=16,
        class_b_ping_slot_periodicity=7, class_c_timeout=20, tags={"dp_tag": "d"}, description="what it describes",
        region_config_id="as923_2", firmware_version="fw-56")
    has(answer.device_profile.app_layer_params, ts003_version=1, ts003_f_port=202, ts004_version=2, ts004_f_port=201, ts005_version=1,
        ts005_f_port=200)
    answer = call(profiles.List, api.ListDeviceProfilesRequest(limit=1, tenant_id=TENANT, search="a profile"))
    same(answer.total_count, 1)
    has(answer.result[0], id=PROFILE, name="a profile", region=12, mac_version=4, supports_otaa=True, supports_class_b=True,
        supports_class_c=False)
    times(answer.result[0], "created_at", "updated_at")
    item = call(profiles.List, api.ListDeviceProfilesRequest(limit=1, tenant_id=TENANT, search="class-c")).result[0]
    has(item, supports_otaa=True, supports_class_b=False, supports_class_c=True)
    same(len(call(profiles.List, api.ListDeviceProfilesRequest(limit=9, offset=1, tenant_id=TENANT)).result), 2)

    gateways = api.GatewayServiceStub(channel)
    answer = call(gateways.List, api.ListGatewaysRequest(limit=5, tenant_id=TENANT, search="gate"))
    same(answer.total_count, 1)
    has(answer.result[0], tenant_id=TENANT, gateway_id=GATEWAY, name="gateway", state=1)
    times(answer.result[0], "created_at", "updated_at", "last_seen_at")


SCRIPTS = ["no_group_setup", "no_fragmentation_setup", "no_session", "no_status", "completes"]
STEPS = ["mc_group_setup_completed_at", "frag_session_setup_completed_at", "mc_session_completed_at", "frag_status_completed_at"]
ERRORS = ["McGroupSetupReq timeout.", "FragSessionSetupReq timeout.", "McSessionReq timeout", "FragStatusReq timeout.", ""]


def deployments(devices):
    fuota, groups = api.FuotaServiceStub(channel), api.MulticastGroupServiceStub(channel)
    euis = [f"03030303030303{number:02x}" for number in range(len(SCRIPTS))]
    for eui, script in zip(euis, SCRIPTS):
        device = api.Device(dev_eui=eui, name=eui, application_id=APPLICATION, device_profile_id=PROFILE)
        call(devices.Create, api.CreateDeviceRequest(device=device))
        command("set_fuota_script", dev_eui=eui, script=script)
    wanted = api.FuotaDeployment(
        application_id=APPLICATION, device_profile_id=PROFILE, name="fw-1.1.0", multicast_group_type=api.MulticastGroupType.CLASS_B,
        multicast_class_c_scheduling_type=api.MulticastGroupSchedulingType.GPS_TIME, multicast_dr=7,
        multicast_class_b_ping_slot_periodicity=8, multicast_frequency=9, multicast_timeout=10, calculate_multicast_timeout=True,
        unicast_max_retry_count=12, fragmentation_fragment_size=13, calculate_fragmentation_fragment_size=True,
        fragmentation_redundancy_percentage=15, fragmentation_session_index=16, fragmentation_matrix=17,
        fragmentation_block_ack_delay=18, fragmentation_descriptor=b"\x01\x02\x03\x04",
        request_fragmentation_session_status=api.RequestFragmentationSessionStatus.AFTER_SESSION_TIMEOUT, payload=b"image",
        on_complete_set_device_tags={"fw": "1.1.0"},
    )
    wanted.id = call(fuota.CreateDeployment, api.CreateFuotaDeploymentRequest(deployment=wanted)).id
    call(fuota.AddDevices, api.AddDevicesToFuotaDeploymentRequest(fuota_deployment_id=wanted.id, dev_euis=euis))
    removal = api.RemoveDevicesFromFuotaDeploymentRequest(fuota_deployment_id=wanted.id, dev_euis=euis[:1])
    call(fuota.RemoveDevices, removal)
    left = call(fuota.ListDevices, api.ListFuotaDeploymentDevicesRequest(limit=10, fuota_deployment_id=wanted.id))
    same([device.dev_eui for device in left.result], euis[1:])
    call(fuota.AddDevices, api.AddDevicesToFuotaDeploymentRequest(fuota_deployment_id=wanted.id, dev_euis=euis[:1]))
    call(fuota.AddGateways, api.AddGatewaysToFuotaDeploymentRequest(fuota_deployment_id=wanted.id, gateway_ids=[GATEWAY]))
    answer = call(fuota.GetDeployment, api.GetFuotaDeploymentRequest(id=wanted.id))
    same(answer.deployment, wanted)
    times(answer, "created_at", "updated_at")
    call(fuota.StartDeployment, api.StartFuotaDeploymentRequest(id=wanted.id))
    listing = api.ListFuotaDeploymentsRequest(limit=5, application_id=APPLICATION)
    times(call(fuota.ListDeployments, listing).result[0], "created_at", "updated_at", "started_at")
    group = until(lambda: next(iter(call(groups.List, api.ListMulticastGroupsRequest(limit=5, application_id=APPLICATION)).result), None))
    has(group, id=wanted.id, name=f"fuota-{wanted.id}", region=12, group_type=1, application_id=APPLICATION,
        application_name="an application")
    times(group, "created_at", "updated_at")
    job = until(lambda: call(fuota.ListJobs, api.ListFuotaDeploymentJobsRequest(fuota_deployment_id=wanted.id)).jobs[-1])
    assert not job.HasField("completed_at")

    until(lambda: call(fuota.ListDeployments, listing).result[0].HasField("completed_at"))
    has(call(fuota.ListDeployments, listing).result[0], id=wanted.id, name="fw-1.1.0", application_id=APPLICATION,
        application_name="an application")
    answer = call(fuota.GetDeployment, api.GetFuotaDeploymentRequest(id=wanted.id))
    times(answer, "created_at", "updated_at", "started_at", "completed_at")
    request = api.ListFuotaDeploymentDevicesRequest(limit=10, fuota_deployment_id=wanted.id)
    answer = call(fuota.ListDevices, request)
    same(answer.total_count, len(euis))
    for number, (device, eui) in enumerate(zip(answer.result, euis)):
        has(device, fuota_deployment_id=wanted.id, dev_eui=eui, error_msg=ERRORS[number])
        done = [field.name for field in device.DESCRIPTOR.fields if field.name in STEPS[:number]]
        times(device, "created_at", *(["completed_at"] if not ERRORS[number] else []), *done)
    request.offset = 4
    same([device.dev_eui for device in call(fuota.ListDevices, request).result], euis[4:])
    jobs = call(fuota.ListJobs, api.ListFuotaDeploymentJobsRequest(fuota_deployment_id=wanted.id)).jobs
    has(jobs[3], job="MC_GROUP_SETUP", max_retry_count=12, attempt_count=1, warning_msg="", error_msg="")
    times(jobs[3], "created_at", "completed_at", "scheduler_run_after")
    refused(grpc.StatusCode.FAILED_PRECONDITION, "FUOTA deployment has already started", fuota.RemoveDevices, removal)
    refused(grpc.StatusCode.FAILED_PRECONDITION, "FUOTA deployment has already started", fuota.StartDeployment,
            api.StartFuotaDeploymentRequest(id=wanted.id))

    other = call(fuota.CreateDeployment, api.CreateFuotaDeploymentRequest(deployment=wanted)).id
    call(fuota.StartDeployment, api.StartFuotaDeploymentRequest(id=other))
    until(lambda: call(groups.List, api.ListMulticastGroupsRequest(limit=5, application_id=APPLICATION, search=other)).total_count)
    call(fuota.DeleteDeployment, api.DeleteFuotaDeploymentRequest(id=other))
    call(groups.Delete, api.DeleteMulticastGroupRequest(id=other))
    same(call(groups.List, api.ListMulticastGroupsRequest(application_id=APPLICATION)).total_count, 0)


def until(question):
    end = time.monotonic() + PATIENCE_S
    while time.monotonic() < end:
        answer = question()
        if answer:
            return answer
        time.sleep(0.02)
    raise AssertionError("it did not happen in time")


EVENTS = {
    "up": integration.UplinkEvent, "join": integration.JoinEvent, "ack": integration.AckEvent, "txack": integration.TxAckEvent,
    "log": integration.LogEvent, "status": integration.StatusEvent, "location": integration.LocationEvent,
}


def events():
    """Both encodings of every event are the same message, and have no field that the official class doesn't know."""
    command("location", dev_eui=OTHER, latitude=1.5, longitude=2.5)
    command("log", dev_eui=OTHER, code="DOWNLINK_GATEWAY", description="TOO_LATE", context={"a": "b"})
    command("uplink", dev_eui=OTHER, f_port=10, data="2a07", confirmed=True, gateways=3, object={"t": 21, "n": None, "l": [1, {"x": True}]})
    seen, up = set(), None
    for event in of_control("/events"):
        kind = event["topic"].rsplit("/", 1)[1]
        of_json = json_format.ParseDict(event["payload"], EVENTS[kind]())
        of_protobuf = EVENTS[kind].FromString(base64.b64decode(event["protobuf"]))
        same(of_json, of_protobuf)
        same(event["topic"].split("/")[3], of_json.device_info.dev_eui)
        seen.add(kind)
        up = of_json if kind == "up" else up
    same(seen, set(EVENTS))
    same(up.device_info.tags["app_tag"], "a")
    has(up, f_port=10, data=b"\x2a\x07", confirmed=True)
    same(json_format.MessageToDict(up.object), {"t": 21.0, "n": None, "l": [1.0, {"x": True}]})
    same([rx.gateway_id for rx in up.rx_info][0], GATEWAY)
    same(up.tx_info.modulation.lora.spreading_factor, 7)


devices = api.DeviceServiceStub(channel)
write_devices(devices)
errors(devices)
list_devices(devices)
keys(devices)
queue(devices)
catalogue()
deployments(devices)
events()
