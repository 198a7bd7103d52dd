/** Columns that every kind shows with `kubectl get`. */
import type { PrinterColumn } from './schema.ts';

/** Whether the object is in effect, and why not; `description` says what that means for the kind. */
export function readyColumns(description: string): readonly PrinterColumn[] {
  return [
    { name: 'Ready', type: 'string', jsonPath: '.status.conditions[?(@.type=="Ready")].status', description },
    {
      name: 'Reason',
      type: 'string',
      jsonPath: '.status.conditions[?(@.type=="Ready")].reason',
      description: 'Cause of Ready.',
    },
  ];
}

export const ageColumn: PrinterColumn = {
  name: 'Age',
  type: 'date',
  jsonPath: '.metadata.creationTimestamp',
  description: 'Time since creation.',
};
