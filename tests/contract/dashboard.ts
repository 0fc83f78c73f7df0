// The type of a dashboard's file, by what Grafana publishes. A test writes a program that gives a
// file this type.
import type {
  AnnotationQuery,
  Dashboard as Published,
  DataQuery,
  Panel,
  RowPanel,
} from "@grafana/schema";
import type { Options as HeatmapOptions } from "@grafana/schema/dist/esm/raw/composable/heatmap/panelcfg/x/HeatmapPanelCfg_types.gen";
import type { Options as StatOptions } from "@grafana/schema/dist/esm/raw/composable/stat/panelcfg/x/StatPanelCfg_types.gen";
import type { Options as TableOptions } from "@grafana/schema/dist/esm/raw/composable/table/panelcfg/x/TablePanelCfg_types.gen";
import type {
  FieldConfig,
  Options as LineOptions,
} from "@grafana/schema/dist/esm/raw/composable/timeseries/panelcfg/x/TimeSeriesPanelCfg_types.gen";

// JSON has the values of an enum, not its names.
type Written<T> = T extends string
  ? `${T}`
  : T extends number | boolean | null | undefined
    ? T
    : T extends readonly (infer Item)[]
      ? Written<Item>[]
      : T extends object
        ? { [Key in keyof T]: Written<T[Key]> }
        : T;

// What Grafana's plugin for Prometheus reads; no package publishes its types.
type Query = DataQuery & {
  expr: string;
  instant?: boolean;
  range?: boolean;
  exemplar?: boolean;
  format?: "time_series" | "table" | "heatmap";
  legendFormat?: string;
  interval?: string;
};
type Mark = AnnotationQuery<Query> & { titleFormat: string; useValueForTime: boolean };

type Typed<Kind extends string, Options, Custom = object> = Omit<
  Panel<Record<string, unknown>, Custom>,
  "type" | "options" | "targets"
> & {
  type: Kind;
  options: Partial<Options>;
  targets: Query[];
};

export type Dashboard = Written<
  Omit<Published, "panels" | "annotations"> & {
    annotations: { list: Mark[] };
    panels: (
      | RowPanel
      | Typed<"stat", StatOptions>
      | Typed<"timeseries", LineOptions, FieldConfig>
      | Typed<"heatmap", HeatmapOptions>
      | Typed<"table", TableOptions>
    )[];
  }
>;
