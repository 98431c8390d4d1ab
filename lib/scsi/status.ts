/** SAM-5 §5.3.1 status codes. BUSY (08h) is never sent: Windows answers it with a bus reset. */
export const Status = {
  Good: 0x00,
  CheckCondition: 0x02,
  ConditionMet: 0x04,
  ReservationConflict: 0x18,
  TaskSetFull: 0x28,
  AcaActive: 0x30,
  TaskAborted: 0x40
} as const
