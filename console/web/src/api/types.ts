/** Shapes of the API, by the names in its description. */
import type { components, paths } from "./schema.d.ts";

export type Schemas = components["schemas"];
export type Paths = paths;
export type Campaign = Schemas["CampaignBody"];
export type CampaignStatus = Schemas["CampaignStatusBody"];
export type CampaignRequest = Schemas["CampaignRequest"];
export type Device = Schemas["DeviceBody"];
export type Firmware = Schemas["FirmwareBody"];
export type Gate = Schemas["GateBody"];
export type Group = Schemas["GroupBody"];
export type HistoryItem = Schemas["HistoryItem"];
export type Preview = Schemas["PreviewBody"];
export type Session = Schemas["SessionBody"];
export type Stats = Schemas["StatsBody"];
export type Update = Schemas["UpdateBody"];
export type Wait = Schemas["WaitBody"];
export type Wave = Schemas["WaveStatus"];
