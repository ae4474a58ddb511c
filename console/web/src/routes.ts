/** Every page, by its address. */
import type { ComponentType } from "preact";
import type { Route } from "./router/match.ts";
import { Audit } from "./pages/audit.tsx";
import { Campaign } from "./pages/campaign.tsx";
import { Campaigns } from "./pages/campaigns.tsx";
import { Device } from "./pages/device.tsx";
import { Devices } from "./pages/devices.tsx";
import { FirmwareDetail } from "./pages/firmware_detail.tsx";
import { FirmwareList } from "./pages/firmware.tsx";
import { Health } from "./pages/health.tsx";
import { NewCampaign } from "./pages/new_campaign.tsx";
import { Now } from "./pages/now.tsx";
import { Settings } from "./pages/settings.tsx";
import { Upload } from "./pages/upload.tsx";

export const ROUTES: readonly Route<ComponentType<{ params: Record<string, string> }>>[] = [
    { pattern: "/", page: Now },
    { pattern: "/campaigns", page: Campaigns },
    { pattern: "/campaigns/new", page: NewCampaign },
    { pattern: "/campaigns/:id", page: Campaign },
    { pattern: "/devices", page: Devices },
    { pattern: "/devices/:id", page: Device },
    { pattern: "/firmware", page: FirmwareList },
    { pattern: "/firmware/upload", page: Upload },
    { pattern: "/firmware/:id", page: FirmwareDetail },
    { pattern: "/audit", page: Audit },
    { pattern: "/health", page: Health },
    { pattern: "/settings", page: Settings },
];
